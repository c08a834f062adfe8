"""The example patches as files: their objects and wires, and that every message means something to the file it goes to.

What they play is tested in the hosts themselves (test_examples_in_hosts.py), where these are installed.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
import toy_playable
from nn_host import Host
from test_export_prior import with_prior

from wavevae.export.instrument import instrument_module
from wavevae.export.model_file import axes_of
from wavevae.export.torchscript import script

EXAMPLES = Path(__file__).parent.parent / "examples"
PD, MAX = sorted((EXAMPLES / "pd").glob("*.pd")), sorted((EXAMPLES / "max").glob("*.maxpat"))
LATENTS = 11
PD_PORTS = {
    "hsl": (1, 1), "tgl": (1, 1), "floatatom": (1, 1), "msg": (1, 1), "text": (0, 0), "loadbang": (0, 1),
    "notein": (0, 3), "bendin": (0, 2), "poly": (2, 3), "stripnote": (2, 2), "clone": (1, 1), "inlet": (0, 1),
    "pack": (3, 1), "unpack": (1, 2), "sel": (2, 2), "t": (1, 2), "s": (1, 0), "r": (0, 1), "*": (2, 1), "/": (2, 1),
    "-": (2, 1), "sig~": (1, 1), "vline~": (1, 1), "*~": (2, 1), "+~": (2, 1), "adc~": (1, 1), "dac~": (2, 0),
    "outlet~": (1, 0),
}  # fmt: skip
"""Inlets and outlets of what the patches use, all of it vanilla Pd."""
MAX_PORTS = {
    "message": (2, 1), "comment": (1, 0), "live.dial": (1, 2), "toggle": (1, 1), "number": (1, 2),
    "line~": (2, 2), "loadbang": (1, 1), "notein": (1, 3), "bendin": (1, 2),
    "poly": (2, 4), "pack": (3, 1), "t": (1, 4), "sig~": (1, 1), "*~": (2, 1),
    "dac~": (2, 0), "mc.sig~": (1, 1), "mc.line~": (2, 2), "mc.+~": (2, 1), "mc.*~": (2, 1), "mc.mixdown~": (2, 1),
    "mc.unpack~": (1, 1), "mc.adc~": (1, 1), "mc.dac~": (1, 0),
}  # fmt: skip
SETTING = re.compile(r"\bset (\S+) ([^\s,;]+)")


def write_instrument(path: Path) -> Path:
    """An instrument with every method and attribute that there is, and as many latents as the patches have wires."""
    model, _ = with_prior("class", latent_dim=LATENTS - 3)
    model.profile = toy_playable.profile(model)
    torch.jit.save(
        script(instrument_module(model, axes_of(model, toy_playable.statistics(model)))), str(path)
    )
    return path


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    return Host(write_instrument(tmp_path_factory.mktemp("face") / "mine.ts"), "decode", 1024)


def nn_ports(text: str, host: Host) -> tuple[int, int]:
    """Inlets and outlets of `nn~ FILE METHOD [BUFFER]`."""
    _, file, method, *buffer = text.split()
    assert file == "mine.ts" or file.endswith("$1")
    assert method in host.model.get_methods()
    assert all(int(b) >= 256 and int(b) & (int(b) - 1) == 0 for b in buffer)
    inlets, _, outlets, _ = getattr(host.model, f"{method}_params").tolist()
    return inlets, outlets


def check_settings(text: str, host: Host) -> None:
    """The file takes every `set` in a message; what a slider sends stands as 0."""
    for name, value in SETTING.findall(text):
        assert name in host.model.get_attributes(), text
        assert host.message(name, 0.0 if "$1" in value else float(value)) == 0, text


def test_a_setting_of_something_else_is_noticed(host: Host) -> None:
    for wrong in ("set loudness 3", "set class 7"):
        with pytest.raises(AssertionError):
            check_settings(wrong, host)
    with pytest.raises(ValueError, match="could not convert"):
        check_settings("set class reed", host)  # nn~ says "stoi"
    with pytest.raises(AssertionError):
        nn_ports("nn~ mine.ts decode 1000", host)


# -- Pd ---------------------------------------------------------------------------------------------------------


def pd_records(path: Path) -> list[list[str]]:
    """Records as words; an escaped comma or semicolon is text."""
    text = path.read_text(encoding="utf-8")
    assert text.endswith(";\n")
    records = re.split(r"(?<!\\);\n", text.removesuffix(";\n"))
    return [record.replace("\n", " ").split() for record in records]


@pytest.mark.parametrize("path", PD, ids=lambda p: p.stem)
def test_a_pd_patch_is_well_formed(path: Path, host: Host) -> None:
    canvas, *records = pd_records(path)
    assert canvas[:2] == ["#N", "canvas"]
    kinds: list[str] = []
    ports: list[tuple[int, int]] = []
    texts: list[str] = []
    for record in records:
        assert record[0] == "#X"
        if record[1] == "connect":
            source, outlet, target, inlet = map(int, record[2:])
            assert outlet < ports[source][1]
            assert inlet < ports[target][0]
            if kinds[source] == "msg" and re.match(r"set|bufsize|enable", texts[source]):
                assert texts[target].startswith("nn~") or texts[target] == "s voices", texts[source]
            continue
        kinds.append(record[4] if record[1] == "obj" else record[1])
        texts.append(" ".join(record[4:]))
        ports.append(nn_ports(texts[-1], host) if kinds[-1] == "nn~" else PD_PORTS[kinds[-1]])
        if kinds[-1] == "msg":
            check_settings(texts[-1].replace("\\", ""), host)
    assert {"nn~", "clone"} & set(kinds)
    creation_sizes = [
        text for kind, text in zip(kinds, texts, strict=True) if kind == "nn~" and len(text.split()) > 3
    ]
    assert not creation_sizes, "nn~ 1.6 is later by a size that is given as creation argument: send bufsize"


# -- Max --------------------------------------------------------------------------------------------------------


def max_ports(kind: str, text: str, host: Host) -> tuple[int, int]:
    if kind.endswith("nn~"):
        return nn_ports(text, host)
    if kind in ("expr", "if"):  # an inlet for each variable
        return max(int(n) for n in re.findall(r"\$[if](\d)", text)), 1
    return MAX_PORTS[kind]


@pytest.mark.parametrize("path", MAX, ids=lambda p: p.stem)
def test_a_max_patch_is_well_formed(path: Path, host: Host) -> None:
    patcher = json.loads(path.read_text(encoding="utf-8"))["patcher"]
    boxes = {entry["box"]["id"]: entry["box"] for entry in patcher["boxes"]}
    assert len(boxes) == len(patcher["boxes"])
    kinds = {
        i: b["text"].split()[0] if b["maxclass"] == "newobj" else b["maxclass"] for i, b in boxes.items()
    }
    for number, box in boxes.items():
        kind = kinds[number]
        assert (box["numinlets"], box["numoutlets"]) == max_ports(kind, box.get("text", ""), host), box
        assert len(box.get("outlettype", [])) == box["numoutlets"]
        if kind == "message":
            check_settings(box["text"], host)
    reached: dict[str, set[int]] = {number: set() for number in boxes}
    for entry in patcher["lines"]:
        (source, outlet), (target, inlet) = entry["patchline"]["source"], entry["patchline"]["destination"]
        assert outlet < boxes[source]["numoutlets"]
        assert inlet < boxes[target]["numinlets"]
        reached[target].add(inlet)
        if kinds[source] == "message" and boxes[source]["text"].startswith("set "):
            assert kinds[target].endswith("nn~")
    for number, kind in kinds.items():
        if kind.endswith("nn~"):  # an mc inlet without a wire counts as one channel
            assert reached[number] == set(range(boxes[number]["numinlets"]))


def test_each_host_has_the_same_patches() -> None:
    for paths in (PD, MAX):
        assert {"keyboard", "controls", "transform", "perform"} <= {path.stem for path in paths}
