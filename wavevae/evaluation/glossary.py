"""What each figure is, for report.json; which way is better, for the tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

ABOUT = {
    "mr_stft": "auraloss 0.4 MultiResolutionSTFTLoss, defaults; lower is better, 0 is a copy",
    "log_mel_l1": "L1 of log-mel spectra (n_fft 2048, hop 512, 128 HTK mels, power; dB below the reference chunk's "
    "peak, floor -80, [-80, 0] -> [-1, 1]); 0.1 = 4 dB; lower is better",
    "si_sdr_db": "scale-invariant SDR, means removed, within +-100 dB; higher is better; needs the right phase",
    "accuracy_waveform": "100 * max(0, 1 - |x-y|^2/|x|^2) of the samples, percent",
    "accuracy_stft": "the same of STFT magnitudes (Hann 2048, hop 512), percent",
    "mse": "mean squared difference of the samples, full scale = 1",
    "cosine_similarity": "<x,y> / (|x||y|) of the samples",
    "level_difference_db": "RMS level of the output less that of the reference, mean over chunks; 0 is right",
    "hop_rate_energy_db": "periodicity of the high-frequency envelope at the hop rate and its harmonics, output less "
    "reference; 0 = no clicks at frame edges, above 3 = likely audible",
    "pitch_error_cents": "YIN on reference and output every 20 ms; median difference of a chunk's frames that are "
    "pitched in both; median over the chunks whose reference is pitched (pitched_chunks)",
    "pitch_lost": "share of the reference's pitched frames in which the output has no pitch, mean over pitched chunks",
    "fad": "Fréchet distance between the embeddings (fad_embedding) of all chunks and of their reconstructions; "
    "grows as chunks get fewer: compare on the same files only",
    "fad_between_halves": "the same between two halves of the real files: what real sounds score against each other",
    "fad_generated": "the same between all chunks and what the model draws from its prior",
    "diversity_real": "mean distance between the embeddings of two chunks",
    "diversity_reconstructed": "the same of the reconstructions: less than real = sounds made alike",
    "diversity_generated": "the same of draws from the prior; none where the model has no prior",
    "generated_silent": "share of the seconds drawn from the prior that are silent (left out of the two above)",
    "kl_nats": "KL of the posterior to its prior a frame, summed over dimensions; none without a posterior "
    "(a MODEL.ts shows none)",
    "active_dims": "latent dimensions whose posterior mean varies by more than 0.01 over the data, in variances of the "
    "prior (Burda et al. 2016)",
    "codebook_perplexity": "exp of the entropy of the codes' use, mean over codebooks; the codebook's size at best",
    "codebook_usage": "share of the codes taken at least once, mean over codebooks",
    "code_bits_per_frame": "entropy of the codes' use, summed over codebooks, bits a frame",
    "equals_opus_kbps": "the bit rate at which Opus has the same mr_stft on the same chunks; none beyond the ladder "
    "(equals_opus says on which side) or without --anchors",
    "equals_opus": "the same by each figure, kbit/s",
    "anchors": "Opus on the same chunks, delay taken out; coded_kbps is what it spent, Ogg's headers included",
    "confidence": "95 % intervals, files drawn with replacement (fad: the figure +- 1.96 standard deviations of "
    "redrawn ones); none below three files; not the luck of the training run",
    "probes": "what a linear reader finds in the latents of a file (mean and log standard deviation of each axis), "
    "trained on other files: accuracy against chance (the best single answer to all); lower for pitch = freer of pitch",
    "upper_bound": "of a spectrogram model: the same figures of the sounds' own features, inverted as the model's are; "
    "no model of these features can be expected to do better",
    "swaps": "decoded under labels that are not the sound's own: how often a classifier trained on real sounds hears "
    "the class asked for, and how far the pitch is from the one asked for",
}
ABOUT_PLAYING = {
    "held_pitch_ok": "share of steadily pitched moments whose last frame, held, keeps the moment's pitch within 50 "
    "cents (YIN, the second from half a second on); 1 is right",
    "held_pitch_cents": "median distance of the held pitch from the moment's, cents, where the held second has a pitch",
    "held_spectrum_db": "mean difference of the 64-band long-term mel spectra of the held second and of the half "
    "second around the moment, at equal power, 60 dB deep; lower is better",
    "hop_lock": "autocorrelation of the held second at a lag of one hop, less its median within 32 samples; 0 is free "
    "(see hop_lock_real), above 0.3 is a buzz, 1 is one waveform repeated; pitches with a whole number of periods in a "
    "hop are left out",
    "hop_lock_real": "the same of the real moments: what their pitches alone give",
    "liveliness": "mean change of the log-mel spectrum from frame to frame, held over real half seconds; 1 is natural, "
    "0 is frozen",
    "knob_monotonic": "Spearman correlation of each named control with the attribute that it names, measured on the "
    "sound while it steps from its 5th to its 95th percentile, mean over held moments; 1 is right",
    "knob_monotonic_least": "the least of them",
    "knob_crosstalk": "largest absolute Spearman correlation of brightness or noisiness with another attribute, over "
    "all moments together; 0 is best",
    "transfer_moved": "share of half seconds of foreign sound through the model that a linear judge of mel cepstra "
    "takes for the corpus; higher is better",
    "transfer_moved_ceiling": "what the judge says of the corpus' files that it has not learned",
    "transfer_moved_floor": "what it says of the foreign sounds themselves",
    "transfer_pitch_kept": "share of the input's pitched frames whose output is within 50 cents, octaves folded",
    "transfer_loudness_r": "correlation of the levels in dB of input and output, at the best lag up to 50 ms",
    "transfer_copy_si_sdr_db": "SI-SDR of the output against its own input, best over lags; high = it passed through",
    "leakage_pitch": "R^2 of a ridge regression of the pitch heard from the learned latents, on files that it has not "
    "seen; 0 is free of pitch",
    "leakage_loudness": "the same of loudness",
    "linear_sum_db": "SNR of decode(a + b) + decode(0) against decode(a) + decode(b); high = a linear code",
    "crossfade_db": "SNR of the model's straight line between two sounds against the cross-fade of their renders; high "
    "= interpolation is a cross-fade",
    "sample_kad": "kernel audio distance of draws and real sounds (unbiased MMD^2, RBF kernel at the median distance, "
    "embedding as in fad_embedding); sample_kad_ceiling: of one half of the real files and the other; 0 is best",
    "sample_density": "how densely real sounds lie around draws (Naeem et al. 2020, k = 5); near its ceiling is right",
    "sample_coverage": "share of real sounds with a draw among their neighbours; near its ceiling is right",
    "sample_diversity": "diversity_generated over diversity_real; 1 is right",
    "sample_judged": "share of half seconds of draws that the judge of transfers takes for the corpus; its ceiling is "
    "what it says of the corpus' files that it has not learned",
    "sample_drift": "eight improvisations of five minutes: the largest change of their last minutes from their first "
    "(mean amplitude, brightness and diversity relative, silence as a share of the time: sample_drift_parts); its "
    "ceiling is what chance does: the same between one half of the improvisations and the other",
    "performed_pitch_cents": "notes found in the judged sounds and performed: median distance of their pitch (YIN, "
    "median of a note) from their keys; single: of notes of 0.5 s, one at a time",
    "performed_onset_ms": "single notes of fresh voices: median time from the key until the sound is 20 dB below the "
    "note's level (_p90: in nine of ten); real: from the onsets found in the recordings",
    "performed_release_ms": "single notes: median time from the release until the sound is 20 dB below the note's "
    "level; real: of recorded notes that a rest follows",
    "velocity_loudness_r": "single notes of 0.5 s at twelve velocities: Spearman correlation with the power, mean over "
    "keys; velocity_loudness_spread_db: standard deviation of the level from what the velocity asks for",
    "performed_frechet": "Fréchet distance of half seconds (means of the judge's twelve mel cepstra): recordings "
    "against the same notes performed; resynthesis: against the model's copies; real: between halves of the files",
    "performed_diversity": "mean distance between half seconds of the performance over that of the recordings",
    "performed_loudness_db": "Wasserstein distance, dB, of the levels of recorded and of performed notes, relative to "
    "the note's own, mean over moments from 0 to 640 ms after the onset and before the release",
    "performed_vibrato_hz": "Wasserstein distance of the rates of vibrato (3 to 9 Hz, 8 cents or more) of recorded "
    "and of performed notes",
    "performed_vibrato_cents": "the same of its depths",
}
"""Of the section `playing`; counts stand beside the figures that are means of them."""
MEANS = (
    "means over 1 s chunks whose reference RMS is above -60 dBFS; files are reconstructed whole and cut afterwards; "
    "a rest of half a second or more is covered by a last chunk that ends with the file"
)
BETTER = {
    "mr_stft": "lower",
    "log_mel_l1": "lower",
    "si_sdr_db": "higher",
    "accuracy_waveform": "higher, %",
    "accuracy_stft": "higher, %",
    "mse": "lower",
    "cosine_similarity": "higher",
    "fad": "lower ({fad_between_halves} between halves of the real)",
    "pitch_error_cents": "lower, cents",
    "pitch_lost": "lower, share of pitched frames",
    "level_difference_db": "near 0",
    "hop_rate_energy_db": "near 0; above 3: clicks at frame edges",
    "diversity_reconstructed": "near {diversity_real} (real)",
    "diversity_generated": "near {diversity_real} (real)",
    "fad_generated": "lower",
    "generated_silent": "share of the seconds drawn",
    "kl_nats": "nats a frame",
    "active_dims": "of {latent_dim}",
    "codebook_perplexity": "higher, of the codebook's size",
    "codebook_usage": "higher, share",
}
HIGHER_IS_BETTER = {
    name: BETTER[name].startswith("higher")
    for name in (
        *("mr_stft", "log_mel_l1", "si_sdr_db", "accuracy_waveform", "accuracy_stft", "mse"),
        *("cosine_similarity", "pitch_error_cents", "fad"),
    )
}
"""The figures that are compared."""
MAY_LACK = (
    *("codebook_perplexity", "codebook_usage", "kl_nats", "active_dims"),
    *("hop_rate_energy_db", "pitch_lost"),
)
"""Left out of tables where they are none: they belong to some models or sounds only."""


def number(value: Any) -> str:
    """Four digits; '-' for none."""
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:d}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def hint(name: str, report: Mapping[str, Any]) -> str:
    """Which way is better, with this report's own numbers."""
    values = {key: number(value) for key, value in report.items() if not isinstance(value, (dict, list))}
    return BETTER[name].format_map({"fad_between_halves": "-", "diversity_real": "-", **values})


def lines(report: Mapping[str, Any]) -> list[tuple[str, str, str, str, str]]:
    """(name, figure, interval, Opus of the same figure, hint) for every figure that the report has."""
    found = []
    for name in BETTER:
        value = report.get(name)
        if value is None and name in MAY_LACK:
            continue
        interval = (report.get("confidence") or {}).get(name)
        width = f"{number(interval[0])} .. {number(interval[1])}" if interval else ""
        opus = (report.get("equals_opus") or {}).get(name, "")
        found.append((name, number(value), width, opus, hint(name, report)))
    return found


COUNTS = {
    "held": "held_moments",
    "held_pitch": "held_pitched_moments",
    "hop_lock": "hop_lock_moments",
    "liveliness": "held_moments",
    "knob": "knob_moments",
    "transfer": "transfer_sounds",
    "transfer_moved": "transfer_half_seconds",
    "leakage": "leakage_frames",
    "linear": "linear_pairs",
    "crossfade": "linear_pairs",
    "sample": "sample_seconds",
    "sample_drift": "sample_drift_minutes",
    "performed": "performed_notes",
    "performed_onset": "performed_single_notes",
    "performed_release": "performed_single_notes",
    "velocity_loudness": "performed_single_notes",
    "performed_frechet": "performed_half_seconds",
    "performed_diversity": "performed_half_seconds",
}
"""What a figure of playing is a mean over, by the beginning of its name."""


BESIDE = ("ceiling", "real", "resynthesis", "single")
"""Ends of the names of figures to compare with, which stand beside a figure."""


def longest_prefix(name: str, prefixes: Iterable[str]) -> str:
    """The longest of them with which a name begins; empty where none does."""
    return max((prefix for prefix in prefixes if name.startswith(prefix)), key=len, default="")


def playing_lines(playing: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(name, figure, what it is and over how many) of every figure of playing; the reason where there is none."""
    found = []
    for name, meaning in ABOUT_PLAYING.items():
        value, reason = playing.get(name), playing.get("why", {}).get(name)
        if value is None and reason is None:
            continue
        shown = number(value)
        if isinstance(value, Mapping):
            shown = ", ".join(f"{key} {number(part)}" for key, part in value.items())
        if value is None:
            found.append((name, shown, f"{meaning}. None here: {reason}"))
            continue
        fitting = longest_prefix(name, COUNTS)
        count = playing.get(COUNTS[fitting]) if fitting else None
        compared = {
            end: playing.get(f"{name}_{end}") for end in BESIDE if f"{name}_{end}" not in ABOUT_PLAYING
        }
        others = ", ".join(f"{end} {number(x)}" for end, x in compared.items() if x is not None)
        beside = f" ({others})" if others else ""
        over = f" [{COUNTS[fitting].replace('_', ' ')}: {count}]" if count is not None else ""
        found.append((name, shown + beside, meaning + over))
    return found


def playing_says(playing: Mapping[str, Any]) -> list[str]:
    """The chief figures of playing in sentences."""
    said = []
    if playing.get("held_moments"):
        ok = playing["held_pitch_ok"]
        pitch = (
            ""
            if ok is None
            else f"keeps its pitch in {ok:.0%} of {playing['held_pitched_moments']} moments, "
        )
        said.append(
            f"  a held frame {pitch}hop lock {number(playing['hop_lock'])} (0 free, above 0.3 a buzz), "
            f"liveliness {number(playing['liveliness'])} (1 natural)"
        )
    if playing.get("transfer_moved") is not None:
        kept, moved = playing["transfer_pitch_kept"], playing["transfer_moved"]
        said.append(
            f"  foreign sound through it ({playing['foreign']}): {moved:.0%} is taken for the corpus"
            + (f", pitch kept in {kept:.0%}" if kept is not None else "")
            + f", copy SI-SDR {number(playing['transfer_copy_si_sdr_db'])} dB"
        )
    if playing.get("knob_monotonic_least") is not None:
        knobs = ", ".join(f"{name} {number(value)}" for name, value in playing["knob_monotonic"].items())
        said.append(f"  controls follow their names: {knobs}; crosstalk {number(playing['knob_crosstalk'])}")
    if playing.get("performed_frechet") is not None:
        said.append(
            f"  {playing['performed_notes']} notes of the recordings performed: Fréchet distance "
            f"{number(playing['performed_frechet'])} (resynthesis {number(playing['performed_frechet_resynthesis'])}), "
            f"onset {number(playing['performed_onset_ms'])} ms, velocity to loudness "
            f"{number(playing['velocity_loudness_r'])}"
        )
    return said


def table(report: Mapping[str, Any]) -> str:
    rows = lines(report)
    with_opus = any(opus for *_, opus, _ in rows)
    text = []
    for name, value, width, opus, better in rows:
        codec = f" {('Opus ' + opus) if opus else '':<14}" if with_opus else ""
        text.append(f"  {name:<24} {value:>9}  {width:<22}{codec} {better}")
    text += extras(report)
    text.append(
        f"means over {report['chunks_used']} seconds of {report['files']} files ({report['data']}); "
        f"{report['chunks_left_out']} silent seconds left out; .. are 95 % intervals over files"
        + ("; Opus N: Opus at N kbit/s scores the same here" if with_opus else "")
    )
    skipped = len(report["files_skipped"])
    if skipped:
        text.append(f"{skipped} files were skipped; report.json says why")
    return "\n".join(text)


def extras(report: Mapping[str, Any]) -> list[str]:
    said = []
    for name, probe in (report.get("probes") or {}).items():
        said.append(
            f"  {name} can be read from the latents of {probe['accuracy']:.0%} of {probe['files']} files "
            f"(chance {probe['chance']:.0%})"
        )
    if report.get("upper_bound"):
        said.append(f"  {report['upper_bound']['says']}")
    for name, swap in (report.get("swaps") or {}).items():
        said.append(f"  {name}: {swap['says']}")
    return said + playing_says(report.get("playing") or {})
