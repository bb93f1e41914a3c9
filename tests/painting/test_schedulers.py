"""Tests of the eight schedulers against samplers written from their papers, and known numbers.

The samplers below work on x = picture + σ · noise, like those of k-diffusion; every parametrization
of a sampler gives the same result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DEISMultistepScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
)
from numpy.typing import NDArray

from inference.painting.schedulers import (
    KnownLatents,
    make_scheduler,
    noised,
    predict_clean,
    start_at,
    step_options,
)
from inference.recipe.recipe import SCHEDULERS

Array = NDArray[np.float64]

# The file scheduler/scheduler_config.json of Stable Diffusion 1.5.
SD15_FILE = {
    "_class_name": "PNDMScheduler",
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
    "clip_sample": False,
}
SD15 = PNDMScheduler.from_config(SD15_FILE).config
LEARNT = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}

SIGNAL = np.cumprod(1 - np.linspace(math.sqrt(0.00085), math.sqrt(0.012), 1000) ** 2)
SIGMAS = np.sqrt((1 - SIGNAL) / SIGNAL)
SIGMA_MAX, SIGMA_MIN = 14.614642, 0.0291675


def test_the_names_are_these_eight() -> None:
    assert set(SCHEDULERS) == set(SAMPLERS)


def test_the_sigmas_here_are_stable_diffusions() -> None:
    np.testing.assert_allclose(SIGMAS[[-1, 0]], [SIGMA_MAX, SIGMA_MIN], rtol=1e-4)


# --- known numbers -------------------------------------------------------------------------------

EULER_10 = (999, 888, 777, 666, 555, 444, 333, 222, 111, 0)
DPM_10 = (999, 899, 799, 699, 599, 500, 400, 300, 200, 100)
DPM_20 = (999, 949, 899, 849, 799, 749, 699, 649, 599, 549)
DPM_20 += (500, 450, 400, 350, 300, 250, 200, 150, 100, 50)
KARRAS_10 = (999, 916, 815, 687, 523, 327, 146, 41, 7, 0)
KARRAS_20 = (999, 962, 921, 876, 827, 772, 710, 640, 561, 474)
KARRAS_20 += (380, 285, 197, 123, 69, 35, 15, 6, 2, 0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("euler", EULER_10),
        ("euler_a", EULER_10),
        ("dpm++2m", DPM_10),
        ("dpm++2m", DPM_20),
        ("dpm++2m_karras", KARRAS_10),
        ("dpm++2m_karras", KARRAS_20),
        ("dpm++sde", DPM_10),
        ("dpm++sde", DPM_20),
        ("dpm++sde_karras", KARRAS_10),
        ("dpm++sde_karras", KARRAS_20),
        ("lcm", (999, 759, 499, 259)),
        ("lcm", (999, 879, 759, 639, 499, 379, 259, 139)),
        ("tcd", (999, 759, 499, 259)),
        ("tcd", (999, 879, 759, 639, 499, 379, 259, 139)),
    ],
)
def test_timesteps(name: str, expected: tuple[int, ...]) -> None:
    assert tuple(started(name, len(expected)).timesteps.tolist()) == expected


EULER_SIGMAS_10 = [14.6146, 7.8399, 4.6092, 2.9183, 1.9502, 1.3449, 0.9324, 0.6250, 0.3687, 0.0292]
DPM_SIGMAS_10 = [14.6146, 8.3028, 5.0878, 3.3211, 2.2765, 1.6183, 1.1644, 0.8328, 0.5717, 0.3439]
KARRAS_SIGMAS_10 = [14.6146, 9.1029, 5.4784, 3.1686, 1.7494, 0.9141, 0.4469, 0.2014, 0.0819, 0.0292]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("euler", EULER_SIGMAS_10),
        ("euler_a", EULER_SIGMAS_10),
        ("dpm++2m", DPM_SIGMAS_10),
        ("dpm++2m_karras", KARRAS_SIGMAS_10),
        ("dpm++sde", DPM_SIGMAS_10),
        ("dpm++sde_karras", KARRAS_SIGMAS_10),
    ],
)
def test_sigmas_end_at_none(name: str, expected: list[float]) -> None:
    np.testing.assert_allclose(started(name, 10).sigmas, [*expected, 0], atol=6e-5)


@pytest.mark.parametrize("steps", [4, 10, 20, 50])
@pytest.mark.parametrize("name", ["dpm++2m_karras", "dpm++sde_karras"])
def test_karras_sigmas(name: str, steps: int) -> None:
    """Karras et al., 2022, equation 5 with ρ = 7."""
    high, low = SIGMA_MAX ** (1 / 7), SIGMA_MIN ** (1 / 7)
    expected = [(high + k / (steps - 1) * (low - high)) ** 7 for k in range(steps)]
    np.testing.assert_allclose(started(name, steps).sigmas[:-1], expected, rtol=1e-3)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_noise_to_start_from_is_as_strong_as_the_model_learnt(name: str) -> None:
    strength = SIGMA_MAX if name in ("euler", "euler_a") else 1.0
    assert float(started(name, 10).init_noise_sigma) == pytest.approx(strength, rel=1e-4)


def started(name: str, steps: int, config: Mapping[str, Any] = SD15) -> Any:
    scheduler = make_scheduler(name, config)
    scheduler.set_timesteps(steps)
    return scheduler


# --- the same samplers, written out --------------------------------------------------------------


class Walk(NamedTuple):
    """Input of a sampler: `times`, and `sigmas`, which has one more entry, the last of which is 0.

    The first steps of a schedule are left out if it starts from a photo.
    """

    times: Array
    sigmas: Array
    draw: Callable[[], Array]
    left_out: int = 0

    def predict_clean(self, x: Array, index: int) -> Array:
        """The clean picture that the model predicts at a step."""
        sigma = self.sigmas[index]
        noise = model(x / math.sqrt(1 + sigma**2), self.times[index])
        return x - sigma * noise


Sampler = Callable[[Walk, Array], Array]


def model(noisy: Array, time: float) -> Array:
    """A test model: noise that depends smoothly on both arguments."""
    return 0.8 * noisy + 0.5 * np.sin(2 * noisy + time / 200)


def euler(walk: Walk, x: Array) -> Array:
    """Karras et al., 2022, algorithm 2 without churn and correction."""
    for k, (sigma, following) in enumerate(pairs(walk.sigmas)):
        slope = (x - walk.predict_clean(x, k)) / sigma
        x = x + (following - sigma) * slope
    return x


def euler_ancestral(walk: Walk, x: Array) -> Array:
    """Ancestral sampling: an Euler step to a lower sigma, then new noise up to the next one."""
    for k, (sigma, following) in enumerate(pairs(walk.sigmas)):
        up = following * math.sqrt(1 - (following / sigma) ** 2)
        down = math.sqrt(following**2 - up**2)
        slope = (x - walk.predict_clean(x, k)) / sigma
        x = x + (down - sigma) * slope + up * walk.draw()
    return x


def dpm_2m(walk: Walk, x: Array) -> Array:
    """DPM-Solver++(2M), Lu et al., algorithm 2: multistep, with one model call per step."""
    before, h_before = None, 0.0
    for k, (sigma, following) in enumerate(pairs(walk.sigmas)):
        seen = clean = walk.predict_clean(x, k)
        h = math.log(sigma / following) if following else math.inf
        if before is not None and following:
            ratio = h_before / h
            clean = (1 + 1 / (2 * ratio)) * seen - 1 / (2 * ratio) * before
        x = following / sigma * x - math.expm1(-h) * clean
        before, h_before = seen, h
    return x


def dpm_sde(walk: Walk, x: Array) -> Array:
    """SDE-DPM-Solver++ (Lu et al.), singlestep of second order: the second step of a pair starts
    again from where the first started and uses both predictions. The last step is of first order.
    """
    start, first, origin = x, x, walk.sigmas[0]
    for k, (sigma, following) in enumerate(pairs(walk.sigmas)):
        seen = clean = walk.predict_clean(x, k)
        second = k > 0 and (walk.left_out + k) % 2 == 1 and following > 0
        if second:
            part = math.log(origin / sigma) / math.log(origin / following)
            clean = first + (seen - first) / (2 * part)
        else:
            start, first, origin = x, seen, sigma
        kept = (following / origin) ** 2
        x = kept * start + (1 - kept) * clean + following * math.sqrt(1 - kept) * walk.draw()
    return x


def consistency(walk: Walk, x: Array) -> Array:
    """LCM (Luo et al., 2023), algorithm 3: predict the picture, and add new noise to it."""
    for k, following in enumerate(walk.sigmas[1:]):
        scaled = 10 * walk.times[k]
        out = scaled / math.sqrt(scaled**2 + 0.25)
        noisy = x / math.sqrt(1 + walk.sigmas[k] ** 2)
        x = out * walk.predict_clean(x, k) + 0.25 / (scaled**2 + 0.25) * noisy
        if following:
            x = x + following * walk.draw()
    return x


def trajectory_consistency(walk: Walk, x: Array) -> Array:
    """TCD (Zheng et al., 2024) with γ = 0: jump along the trajectory, at last to timestep 0."""
    for k, (sigma, following) in enumerate(pairs(walk.sigmas)):
        lower = following or SIGMAS[0]
        clean = walk.predict_clean(x, k)
        x = clean + lower * (x - clean) / sigma
    return x / math.sqrt(1 + SIGMAS[0] ** 2)


def pairs(sigmas: Array) -> zip[tuple[float, float]]:
    return zip(sigmas[:-1].tolist(), sigmas[1:].tolist(), strict=True)


def evenly(steps: int) -> Array:
    """Evenly spaced timesteps from the noisiest to the cleanest."""
    return np.linspace(999, 0, steps)


def evenly_before_the_end(steps: int) -> Array:
    """Evenly spaced timesteps from the noisiest towards the cleanest, which is left out."""
    return np.linspace(999, 0, steps + 1)[:-1].round()


def as_distilled(steps: int) -> Array:
    """Timesteps among the 50 (999, 979 ... 19) on which consistency models are distilled."""
    return np.array([999 - 20 * (50 * k // steps) for k in range(steps)], dtype=float)


def at_sigmas_of(times: Callable[[int], Array]) -> Callable[[int], tuple[Array, Array]]:
    return lambda steps: (times(steps), np.interp(times(steps), np.arange(1000), SIGMAS))


def karras(steps: int) -> tuple[Array, Array]:
    """Karras sigmas, and the timesteps whose sigmas are nearest."""
    high, low = SIGMAS[-1] ** (1 / 7), SIGMAS[0] ** (1 / 7)
    sigmas = (high + np.arange(steps) / (steps - 1) * (low - high)) ** 7
    return np.interp(np.log(sigmas), np.log(SIGMAS), np.arange(1000)).round(), sigmas


SAMPLERS: dict[str, tuple[Sampler, Callable[[int], tuple[Array, Array]]]] = {
    "euler": (euler, at_sigmas_of(evenly)),
    "euler_a": (euler_ancestral, at_sigmas_of(evenly)),
    "dpm++2m": (dpm_2m, at_sigmas_of(evenly_before_the_end)),
    "dpm++2m_karras": (dpm_2m, karras),
    "dpm++sde": (dpm_sde, at_sigmas_of(evenly_before_the_end)),
    "dpm++sde_karras": (dpm_sde, karras),
    "lcm": (consistency, at_sigmas_of(as_distilled)),
    "tcd": (trajectory_consistency, at_sigmas_of(as_distilled)),
}

SHAPE = (1, 4, 3, 3)
NOISE = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
PHOTO = torch.randn(SHAPE, generator=torch.Generator().manual_seed(2))


def expected_from(name: str, steps: int, kept: int) -> Array:
    """Result of the reference sampler, from noise, or from the photo if not all steps are kept."""
    sampler, schedule = SAMPLERS[name]
    times, sigmas = (part[steps - kept :] for part in schedule(steps))
    generator = torch.Generator().manual_seed(3)

    def draw() -> Array:
        return torch.randn(SHAPE, generator=generator).double().numpy()

    walk = Walk(times, np.append(sigmas, 0), draw, left_out=steps - kept)
    noise = NOISE.double().numpy()
    if kept < steps:
        return sampler(walk, PHOTO.double().numpy() + sigmas[0] * noise)
    as_learnt = sigmas[0] if name in ("euler", "euler_a") else math.sqrt(1 + sigmas[0] ** 2)
    return sampler(walk, as_learnt * noise)


def denoised(
    name: str, steps: int, strength: float, seed: int = 3, config: Mapping[str, Any] = SD15
) -> Array:
    """Result of the scheduler for the same input, called as in the painter."""
    scheduler = started(name, steps, config)
    times = start_at(scheduler, steps, strength)
    options = step_options(scheduler, [torch.Generator().manual_seed(seed)])
    latents = NOISE * scheduler.init_noise_sigma
    if strength < 1:
        keep, spread = noised(scheduler, times[:1], torch.float32)
        latents = keep * PHOTO + spread * NOISE
    for time in times:
        noisy = scheduler.scale_model_input(latents, time)
        output = torch.from_numpy(model(noisy.double().numpy(), float(time))).float()
        latents = scheduler.step(output, time, latents, return_dict=False, **options)[0]
    return latents.double().numpy()


@pytest.mark.parametrize(
    ("steps", "strength", "kept"),
    [(6, 1.0, 6), (7, 1.0, 7), (10, 0.6, 6), (10, 0.5, 5), (20, 1.0, 20)],
)
@pytest.mark.parametrize("name", SCHEDULERS)
def test_what_it_makes_of_noise_is_what_the_written_out_sampler_makes(
    name: str, steps: int, strength: float, kept: int
) -> None:
    expected = expected_from(name, steps, kept)
    np.testing.assert_allclose(denoised(name, steps, strength), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "draws"),
    [
        ("euler", False),
        ("euler_a", True),
        ("dpm++2m", False),
        ("dpm++2m_karras", False),
        ("dpm++sde", True),
        ("dpm++sde_karras", True),
        ("lcm", True),
        ("tcd", False),
    ],
)
def test_only_some_draw_fresh_noise(name: str, draws: bool) -> None:
    one, other = (denoised(name, 6, 1.0, seed) for seed in (3, 4))
    assert (np.abs(one - other).max() > 0.01) == draws


# --- whatever scheduler a checkpoint came with ----------------------------------------------------

SAVED = {
    "DDIM": DDIMScheduler(**LEARNT),
    "DEIS": DEISMultistepScheduler(**LEARNT),
    "Euler": EulerDiscreteScheduler(**LEARNT),
    "Euler Karras": EulerDiscreteScheduler(**LEARNT, use_karras_sigmas=True),
    "SDE Karras": DPMSolverMultistepScheduler(
        **LEARNT, use_karras_sigmas=True, algorithm_type="sde-dpmsolver++"
    ),
}


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("saved", SAVED)
def test_the_name_decides_and_not_what_the_checkpoint_came_with(saved: str, name: str) -> None:
    ours = denoised(name, 6, 1.0, config=SAVED[saved].config)
    np.testing.assert_allclose(ours, expected_from(name, 6, 6), atol=1e-4)


# --- what a painter asks beside ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "strength", "expected"),
    [
        (10, 1.0, DPM_10),
        (10, 0.75, DPM_10[3:]),
        (10, 0.5, DPM_10[5:]),
        (10, 0.1, DPM_10[9:]),
        (10, 0.09, ()),
        (20, 0.99, DPM_20[1:]),
    ],
)
def test_strength_drops_the_first_steps(
    steps: int, strength: float, expected: tuple[int, ...]
) -> None:
    assert tuple(start_at(started("dpm++2m", steps), steps, strength).tolist()) == expected


@pytest.mark.parametrize("name", ["dpm++2m", "dpm++sde_karras", "lcm", "tcd", "euler", "euler_a"])
def test_a_picture_noised(name: str) -> None:
    """Variance preserving, but for the two that keep the picture as it is and add noise."""
    scheduler = started(name, 10)
    times = start_at(scheduler, 10, 0.5)
    keep, spread = noised(scheduler, times[:1], torch.float64)
    sigma = SAMPLERS[name][1](10)[1][5]
    assert float(spread / keep) == pytest.approx(sigma, rel=1e-4)
    whole = 1.0 if name in ("euler", "euler_a") else 1 / math.sqrt(1 + sigma**2)
    assert float(keep) == pytest.approx(whole, rel=1e-4)


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_the_clean_picture_is_foreseen_from_whatever_a_model_says(name: str, kind: str) -> None:
    """Noise, velocity (Salimans and Ho, 2022), or the picture itself."""
    keep, spread = math.sqrt(SIGNAL[499]), math.sqrt(1 - SIGNAL[499])
    says = {
        "epsilon": NOISE,
        "v_prediction": keep * NOISE - spread * PHOTO,
        "sample": PHOTO,
    }
    scheduler = make_scheduler(
        name, PNDMScheduler.from_config(SD15_FILE, prediction_type=kind).config
    )
    clean = predict_clean(scheduler, keep * PHOTO + spread * NOISE, says[kind], torch.tensor(499))
    torch.testing.assert_close(clean, PHOTO, atol=1e-4, rtol=1e-4)


# --- known latents ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strength", "painted"),
    # After each of four steps.
    [(0.0, "----"), (0.01, "---p"), (0.24, "---p"), (0.25, "--pp"), (0.5, "-ppp"), (0.6, "-ppp"),
     (0.75, "pppp"), (0.9, "pppp"), (1.0, "pppp")],
)  # fmt: skip
def test_a_latent_is_painted_in_as_many_of_the_last_steps_as_it_is_strong(
    strength: float, painted: str
) -> None:
    shape = (1, 4, 2, 2)
    known = KnownLatents(
        clean=torch.zeros(shape),
        noise=torch.zeros(shape),
        strength=torch.full((1, 1, 2, 2), strength),
    )
    scheduler = make_scheduler("dpm++2m_karras", SD15_FILE)
    scheduler.set_timesteps(4)
    ours = torch.ones(shape)
    blends = [known.blend(ours, scheduler, scheduler.timesteps, done) for done in (1, 2, 3, 4)]
    assert [float(one.mean()) for one in blends] == [float(one == "p") for one in painted]


@pytest.mark.parametrize("steps", [3, 7, 10, 30, 49])
def test_strengths_that_are_a_share_of_the_steps_are_not_lost_by_rounding(steps: int) -> None:
    for k in range(1, steps + 1):
        share = torch.tensor([k / steps])
        known = KnownLatents(clean=torch.zeros(1), noise=torch.zeros(1), strength=share)
        painted = sum(float(known.painted(done / steps)) for done in range(1, steps + 1))
        assert painted == min(steps, k + 1)
