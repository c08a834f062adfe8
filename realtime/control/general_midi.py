"""Programs of General MIDI by name, to find the class of a model that is meant by a program change."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NAMES = """
acoustic grand piano, bright acoustic piano, electric grand piano, honky-tonk piano, electric piano 1,
electric piano 2, harpsichord, clavinet, celesta, glockenspiel, music box, vibraphone, marimba, xylophone,
tubular bells, dulcimer, drawbar organ, percussive organ, rock organ, church organ, reed organ, accordion,
harmonica, tango accordion, nylon guitar, steel guitar, jazz guitar, clean guitar, muted guitar, overdriven
guitar, distortion guitar, guitar harmonics, acoustic bass, fingered bass, picked bass, fretless bass, slap
bass 1, slap bass 2, synth bass 1, synth bass 2, violin, viola, cello, contrabass, tremolo strings,
pizzicato strings, harp, timpani, string ensemble 1, string ensemble 2, synth strings 1, synth strings 2,
choir aahs, voice oohs, synth voice, orchestra hit, trumpet, trombone, tuba, muted trumpet, french horn,
brass section, synth brass 1, synth brass 2, soprano sax, alto sax, tenor sax, baritone sax, oboe, english
horn, bassoon, clarinet, piccolo, flute, recorder, pan flute, bottle, shakuhachi, whistle, ocarina, square
lead, saw lead, calliope lead, chiff lead, charang lead, voice lead, fifths lead, bass lead, new age pad,
warm pad, polysynth pad, choir pad, bowed pad, metallic pad, halo pad, sweep pad, rain, soundtrack, crystal,
atmosphere, brightness, goblins, echoes, sci-fi, sitar, banjo, shamisen, koto, kalimba, bagpipe, fiddle,
shanai, tinkle bell, agogo, steel drums, woodblock, taiko drum, melodic tom, synth drum, reverse cymbal,
guitar fret noise, breath noise, seashore, bird tweet, telephone, helicopter, applause, gunshot
"""
PROGRAMS = tuple(name.strip() for name in _NAMES.split(","))
FAMILIES = (
    *(
        "piano keyboard",
        "mallet chromatic percussion",
        "organ",
        "guitar",
        "bass",
        "string",
        "string ensemble",
    ),
    *(
        "brass",
        "reed woodwind",
        "flute pipe woodwind",
        "synth_lead lead",
        "synth_pad pad",
        "effects",
        "ethnic",
    ),
    *("percussion", "effects"),
)
"""Of eight programs each, under names that corpora use."""


def class_of_program(program: int, classes: Sequence[str]) -> int | None:
    """The class whose name is in the program's, else in its family's, else of its number; none where there is none."""
    for name in (PROGRAMS[program], FAMILIES[program // 8]):
        words = set(re.findall(r"[a-z_]+", name))
        for label, known in enumerate(classes):
            mine = set(re.findall(r"[a-z_]+", known.lower()))
            if any(_same(a, b) for a in words for b in mine):
                return label
    return program if program < len(classes) else None


def _same(a: str, b: str) -> bool:
    """sax and saxophone, string and strings; of words of three letters or more."""
    short, long = sorted((a, b), key=len)
    return len(short) >= 3 and long.startswith(short)
