"""The example patches: their syntax, their objects and wires, their messages; in Pd itself where it is at hand."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import toy_model
from wavevae.export.axes import axis_map
from wavevae.export.torchscript import CodecModule, script

EXAMPLES = Path(__file__).parent.parent / "examples"
PD, MAX = sorted((EXAMPLES / "pd").glob("*.pd")), sorted((EXAMPLES / "max").glob("*.maxpat"))
SC = sorted((EXAMPLES / "supercollider").glob("*.scd"))
PD_PORTS = {
    "nn~": (4, 4), "hsl": (1, 1), "tgl": (1, 1), "pack": (2, 1), "line~": (2, 1), "*~": (2, 1), "+~": (2, 1),
    "adc~": (1, 1), "dac~": (2, 0), "loadbang": (0, 1), "msg": (1, 1), "text": (0, 0),
}  # fmt: skip
"""Inlets and outlets of what the patches use, all of it vanilla Pd but nn~."""
MAX_OBJECTS = {
    "nn~", "mc.nn~", "line~", "pack", "*~", "mc.*~", "dac~", "mc.dac~", "mc.adc~",
    "message", "comment", "live.dial",
}  # fmt: skip
SC_CLASSES = {"NN", "Ndef", "SoundIn", "K2A", "LFNoise1", "Impulse"}
SETTING = re.compile(r"\bset (\w+) (\S+)")


@pytest.fixture(scope="module")
def face() -> dict[str, list[str]]:
    """Methods and attributes that an exported file has."""
    model = toy_model.make(toy_model.SHAPES["short hop"])
    module = script(CodecModule(model, axis_map(toy_model.statistics(model))))
    return {"methods": module.get_methods(), "attributes": module.get_attributes()}


def check_nn(text: str, face: dict[str, list[str]]) -> None:
    """`nn~ FILE METHOD [BUFFER]` as the host reads it."""
    _, file, method, *buffer = text.split()
    assert file.endswith(".ts")
    assert method in face["methods"]
    assert all(int(b) >= 64 and int(b) & (int(b) - 1) == 0 for b in buffer)


def check_settings(text: str, face: dict[str, list[str]]) -> None:
    for name, _ in SETTING.findall(text):
        assert name in face["attributes"], text


def test_there_are_some_of_each() -> None:
    assert len(PD) >= 3
    assert len(MAX) >= 2
    assert SC


# -- Pd ---------------------------------------------------------------------------------------------------------


def pd_records(path: Path) -> list[list[str]]:
    """Records as words; an escaped comma or semicolon is text."""
    text = path.read_text(encoding="utf-8")
    assert text.endswith(";\n")
    records = re.split(r"(?<!\\);\n", text.removesuffix(";\n"))
    return [record.replace("\n", " ").split() for record in records]


@pytest.mark.parametrize("path", PD, ids=lambda p: p.stem)
def test_a_pd_patch_is_well_formed(path: Path, face: dict[str, list[str]]) -> None:
    canvas, *records = pd_records(path)
    assert canvas[:2] == ["#N", "canvas"]
    objects: list[str] = []
    for record in records:
        assert record[0] == "#X"
        if record[1] == "connect":
            source, outlet, target, inlet = map(int, record[2:])
            assert outlet < PD_PORTS[objects[source]][1]
            assert inlet < PD_PORTS[objects[target]][0]
            continue
        objects.append(record[4] if record[1] == "obj" else record[1])
        assert objects[-1] in PD_PORTS, record
        if objects[-1] == "nn~":
            check_nn(" ".join(record[4:]), face)
        if objects[-1] == "msg":
            check_settings(" ".join(record[4:]), face)
    assert {"nn~", "dac~"} <= set(objects)


STUB = "#N canvas 0 0 300 200 12;\n" + "".join(
    f"#X obj {60 * place} {10 + 80 * (kind == 'outlet~')} {kind};\n"
    for kind in ("inlet~", "outlet~")
    for place in range(4)
)
"""Stands for nn~ where Pd has none: four ports a side."""


@pytest.mark.skipif(shutil.which("pd") is None, reason="no Pd here (Debian's puredata-core)")
@pytest.mark.parametrize("path", [*PD, None], ids=lambda p: p.stem if p else "a broken one")
def test_pd_opens_it_without_a_complaint(path: Path | None, tmp_path: Path) -> None:
    (tmp_path / "nn~.pd").write_text(STUB)
    if path is None:  # Pd does complain
        path = tmp_path / "broken.pd"
        path.write_text("#N canvas 0 0 300 200 12;\n#X obj 10 10 osk~ 440;\n")
    command = ["pd", "-nogui", "-noaudio", "-nomidi", "-stderr", "-path", str(tmp_path), "-open", str(path)]
    done = subprocess.run(
        [*command, "-send", "pd quit"], capture_output=True, text=True, timeout=60, check=True
    )
    assert ("couldn't create" in done.stderr) == (path.name == "broken.pd")
    assert done.stderr.strip() == "" or path.name == "broken.pd"


# -- Max --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", MAX, ids=lambda p: p.stem)
def test_a_max_patch_is_well_formed(path: Path, face: dict[str, list[str]]) -> None:
    patcher = json.loads(path.read_text(encoding="utf-8"))["patcher"]
    boxes = {entry["box"]["id"]: entry["box"] for entry in patcher["boxes"]}
    assert len(boxes) == len(patcher["boxes"])
    for box in boxes.values():
        kind = box["text"].split()[0] if box["maxclass"] == "newobj" else box["maxclass"]
        assert kind in MAX_OBJECTS
        assert len(box.get("outlettype", [])) == box["numoutlets"]
        if kind.endswith("nn~"):
            check_nn(box["text"], face)
        if kind == "message":
            check_settings(box["text"], face)
    for entry in patcher["lines"]:
        (source, outlet), (target, inlet) = entry["patchline"]["source"], entry["patchline"]["destination"]
        assert outlet < boxes[source]["numoutlets"]
        assert inlet < boxes[target]["numinlets"]


# -- SuperCollider ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SC, ids=lambda p: p.stem)
def test_a_supercollider_file_is_well_formed(path: Path, face: dict[str, list[str]]) -> None:
    code = re.sub(r"//[^\n]*", "", path.read_text(encoding="utf-8"))
    code = re.sub(r'"[^"]*"', '""', code)
    opened: list[str] = []
    for mark in re.findall(r"[()\[\]{}]", code):
        if mark in "([{":
            opened.append(mark)
        else:
            assert opened.pop() + mark in ("()", "[]", "{}")
    assert not opened
    assert set(re.findall(r"(?<![\\\w])[A-Z]\w*", code)) <= SC_CLASSES
    used = re.findall(r"NN\(\\\w+, \\(\w+)\)", code)
    assert set(used) == set(face["methods"])
    for inside in re.findall(r"attributes: \[([^\]]*)\]", code):
        assert set(re.findall(r"(\w+):", inside)) <= set(face["attributes"])


def test_a_setting_of_something_else_is_noticed(face: dict[str, list[str]]) -> None:
    with pytest.raises(AssertionError):
        check_settings("set loudness 3", face)
    with pytest.raises(AssertionError):
        check_nn("nn~ mine.ts decode 1000", face)
