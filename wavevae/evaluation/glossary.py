"""What each figure is, for report.json; which way is better, for the tables."""

from __future__ import annotations

from collections.abc import Mapping
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
MAY_LACK = (
    "codebook_perplexity",
    "codebook_usage",
    "kl_nats",
    "active_dims",
    "hop_rate_energy_db",
    "pitch_lost",
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


def table(report: Mapping[str, Any]) -> str:
    """The figures for people."""
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
    """Sentences on probes and swaps."""
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
    return said
