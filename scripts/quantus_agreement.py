#!/usr/bin/env python3
"""Quantus' numbers for the metrics that Elucid has too, on the same arrays.

Makes a small network of fixed weights, a few images, maps and masks, evaluates Quantus' metrics on them, and writes all of it to
`crates/metrics/tests/data/quantus.json`, which the test `quantus` of `elucid-metrics` compares its own numbers with. Weights and
pixels are multiples of 1/16, so that single and double precision give the same scores.

What metrics draw at random is Elucid's, from `draws.json` beside it, which that test writes when `ELUCID_WRITE_DRAWS` is set;
it needs the arrays, so the first time is script, test, script.

    python3 -m venv venv && venv/bin/pip install quantus==0.6.0
    venv/bin/python scripts/quantus_agreement.py

Quantus wraps networks of PyTorch and TensorFlow only; what wraps them is replaced, so that neither is needed.
"""

import json
import warnings
from copy import copy
from itertools import cycle
from pathlib import Path
from unittest import mock

import numpy as np
import quantus
import scipy
import skimage
from quantus.helpers import utils
from quantus.helpers.model.model_interface import ModelInterface

# NumPy 2 calls otherwise what Quantus 0.6 asks it for.
if not hasattr(np, "trapz"):
    np.trapz = np.trapezoid

DATA = Path(__file__).parent.parent / "crates/metrics/tests/data"
SIDE, HIDDEN, CLASSES, CASES = 6, 8, 2, 3
PIXELS = SIDE * SIDE


def sixteenths(random, shape, low, high):
    """Multiples of 1/16 from `low` to `high`, none of them 0."""
    values = random.integers(16 * low, 16 * high + 1, size=shape)
    return np.where(values == 0, 1, values) / 16


class Network:
    """Two layers with a ReLU in between."""

    def __init__(self, random):
        self.first = sixteenths(random, (PIXELS, HIDDEN), -1, 1)
        self.second = sixteenths(random, (HIDDEN, CLASSES), -1, 1)
        # Stage by stage, from the scores down.
        self.random_weights = []

    def with_weights(self, weights):
        """The network with these weights, those of both layers one after the other."""
        other = copy(self)
        weights = np.array(weights, dtype=np.float32).astype(np.float64)
        first, second = np.split(weights, [self.first.size])
        other.first, other.second = first.reshape(self.first.shape), second.reshape(self.second.shape)
        return other

    def hidden(self, images):
        return images.reshape(len(images), -1) @ self.first

    def scores(self, images):
        return np.maximum(self.hidden(images), 0) @ self.second

    def gradients(self, images, classes):
        behind = self.second[:, classes].T * (self.hidden(images) > 0)
        return (behind @ self.first.T).reshape(images.shape)


class Wrapped(ModelInterface):
    """The network as Quantus calls one."""

    def predict(self, x, **kwargs):
        scores = self.model.scores(np.asarray(x, dtype=np.float64))
        if not self.softmax:
            return scores
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def shape_input(self, x, shape, channel_first=None, batched=False):
        return x.reshape(len(x), *shape[-3:]) if batched else x.reshape(1, *shape[-3:])

    def get_softmax_arg_model(self):
        return self

    def get_model(self):
        return self.model

    def state_dict(self):
        return {}

    def get_random_layer_generator(self, order="top_down", seed=42):
        assert order == "top_down"
        for stage, weights in enumerate(self.model.random_weights):
            yield f"stage {stage}", self.model.with_weights(weights)

    def add_mean_shift_to_first_layer(self, input_shift, shape):
        raise NotImplementedError

    def get_hidden_representations(self, x, *args, **kwargs):
        return self.model.hidden(x)

    @property
    def random_layer_generator_length(self):
        return len(self.model.random_weights)


def wrap(model, channel_first, softmax, device=None, model_predict_kwargs=None):
    return Wrapped(model, channel_first, softmax)


def products(model, inputs, targets, **kwargs):
    """The explanation: the gradient times the input."""
    network = getattr(model, "model", model)
    inputs = np.asarray(inputs, dtype=np.float64)
    return inputs * network.gradients(inputs, np.asarray(targets))


class Played:
    """Perturbed images, one after the other, instead of those that Quantus would draw."""

    def __init__(self, images):
        self.images = iter(images)

    def __call__(self, arr, indices=None, **kwargs):
        return np.asarray(next(self.images), dtype=np.float32).astype(np.float64).reshape(arr.shape)


class Evaluation:
    def __init__(self, network, images, maps, masks, classes, draws):
        self.network, self.draws = network, draws
        self.images, self.maps, self.masks, self.classes = images, maps, masks, classes
        self.found = {}

    def each(self, name, make, softmax=False, maps=None, **kwargs):
        """The number, or numbers, of each case; of layers, their mean without that of the trained network."""
        maps = self.maps if maps is None else maps
        numbers = []
        for case in range(CASES):
            metric = make(case)
            one = slice(case, case + 1)
            found = metric(
                model=self.network,
                x_batch=self.images[one],
                y_batch=self.classes[one],
                a_batch=maps[one].copy(),
                s_batch=self.masks[one],
                channel_first=True,
                softmax=softmax,
                batch_size=1,
                **kwargs,
            )
            if isinstance(found, dict):
                assert found.pop("original")
                found = np.mean(list(found.values()))
            found = np.asarray(found, dtype=np.float64)
            assert found.size, name
            numbers.append(found.ravel().tolist() if found.size > 1 else found.item())
        self.found[name] = numbers

    def drawn(self, name, make, order=lambda images: images, **kwargs):
        """The same of a metric that plays what Elucid has drawn, in the order in which Quantus asks for it."""
        if name in self.draws:
            images = self.draws[name]
            self.each(name, lambda case: make(Played(order(images[case]))), **kwargs)

    def smooth(self, name, make, noise=0.1, **kwargs):
        """The same of a metric whose explanations are means over what Elucid has drawn and, as the last, the image itself."""

        def metric_of(case):
            image, drawn = self.images[case], np.array(self.draws[name][case], dtype=np.float32)
            changes = (drawn.astype(np.float64).reshape(-1, *image.shape) - image) / (noise * np.ptp(image))
            metric = make(case, nr_samples=len(drawn) + 1, noise_magnitude=noise)
            played = cycle(changes)

            def measure(**arguments):
                # Without maps it makes smooth ones to compare with; it explains by what Quantus has built in, and nothing else.
                with (
                    mock.patch("numpy.random.randn", lambda *shape: next(played).reshape(shape)),
                    mock.patch.object(quantus, "explain", products),
                ):
                    return metric(**{**arguments, "a_batch": None})

            return measure

        self.each(name, metric_of, **kwargs)


def evaluate(e):
    plain = dict(normalise=False, disable_warnings=True, display_progressbar=False, return_aggregate=False)
    absolute = np.abs(e.maps)
    fixed = lambda metric, **options: lambda case, **more: metric(**{**plain, **options, **more})

    e.each("AUC", fixed(quantus.AUC))
    e.each("TopKIntersection", fixed(quantus.TopKIntersection, k=7))
    e.each("TopKIntersection, concept influence", fixed(quantus.TopKIntersection, k=7, concept_influence=True))
    e.each("AttributionLocalisation", fixed(quantus.AttributionLocalisation, abs=True))
    e.each("RelevanceMassAccuracy", fixed(quantus.RelevanceMassAccuracy), maps=absolute)
    e.each("RelevanceRankAccuracy", fixed(quantus.RelevanceRankAccuracy))
    e.each("PointingGame", fixed(quantus.PointingGame))
    e.each("Sparseness", fixed(quantus.Sparseness, abs=True))
    e.each("Complexity", fixed(quantus.Complexity, abs=True))
    e.each("EffectiveComplexity", fixed(quantus.EffectiveComplexity, abs=True, normalise=True, eps=0.25))

    zeros = dict(perturb_baseline=0.0)
    e.each("PixelFlipping", fixed(quantus.PixelFlipping, features_in_step=1, **zeros))
    e.each("FaithfulnessEstimate", fixed(quantus.FaithfulnessEstimate, features_in_step=4, **zeros))
    e.each(
        "FaithfulnessEstimate, softmax",
        fixed(quantus.FaithfulnessEstimate, features_in_step=4, **zeros),
        softmax=True,
    )
    e.each("Monotonicity", fixed(quantus.Monotonicity, abs=False, features_in_step=4, **zeros), softmax=True)
    # Quarters, instead of the segments of SLIC.
    quarters = np.arange(SIDE) // (SIDE // 2)
    quarters = 2 * quarters[:, None] + quarters[None, :]
    with mock.patch.object(utils, "get_superpixel_segments", lambda img, segmentation_method: quarters):
        e.each("IROF", fixed(quantus.IROF, **zeros), softmax=True)

    subsets = e.draws.get("FaithfulnessCorrelation")
    if subsets:
        size = len(subsets[0][0])
        for case in range(CASES):
            assert all(len(subset) == size for subset in subsets[case])
        drawn = (np.array(subset, dtype=int) for case in subsets for subset in case)
        with mock.patch("numpy.random.choice", lambda *args, **kwargs: next(drawn)):
            e.each(
                "FaithfulnessCorrelation",
                fixed(quantus.FaithfulnessCorrelation, nr_runs=len(subsets[0]), subset_size=size, **zeros),
            )
        assert next(drawn, None) is None

    explained = dict(explain_func=products)
    moved = e.maps_of_method()
    samples = lambda name: len(e.draws.get(name, [[]])[0])
    changes = dict(perturb_func_kwargs={}, return_nan_when_prediction_changes=False)

    def least_first(images):
        groups = [images[i : i + MONOTONICITY_SAMPLES] for i in range(0, len(images), MONOTONICITY_SAMPLES)]
        return sum(reversed(groups), [])

    e.drawn(
        "MonotonicityCorrelation",
        lambda play: quantus.MonotonicityCorrelation(
            **plain, nr_samples=MONOTONICITY_SAMPLES, features_in_step=4, abs=True, perturb_func=play
        ),
        order=least_first,
    )
    for name, metric in (("MaxSensitivity", quantus.MaxSensitivity), ("AvgSensitivity", quantus.AvgSensitivity)):
        e.drawn(
            name,
            lambda play: metric(**plain, **changes, nr_samples=samples(name), perturb_func=play),
            maps=moved,
            **explained,
        )
    for name, normalise in (("LocalLipschitzEstimate", False), ("LocalLipschitzEstimate, normalised", True)):
        e.drawn(
            name,
            lambda play: quantus.LocalLipschitzEstimate(
                **{**plain, "normalise": normalise},
                **changes,
                nr_samples=samples(name),
                norm_numerator=quantus.distance_euclidean,
                perturb_func=play,
            ),
            maps=moved,
            **explained,
        )
    for name, metric in (
        ("RelativeInputStability", quantus.RelativeInputStability),
        ("RelativeOutputStability", quantus.RelativeOutputStability),
    ):
        e.drawn(
            name,
            lambda play: metric(**plain, **changes, nr_samples=samples(name), perturb_func=play),
            maps=moved,
            **explained,
        )
    e.each(
        "RandomLogit",
        fixed(quantus.RandomLogit, num_classes=CLASSES, similarity_func=quantus.correlation_spearman),
        maps=moved,
        **explained,
    )
    e.network.random_weights = e.draws.get("weights", [[]])[0]
    if e.network.random_weights:
        assert all(weights == e.network.random_weights for weights in e.draws["weights"])
        top_down = dict(layer_order="top_down")
        e.each("MPRT", fixed(quantus.MPRT, abs=False, **top_down), maps=moved, **explained)
        e.each("EfficientMPRT", fixed(quantus.EfficientMPRT, **top_down), softmax=True, maps=moved, **explained)
        e.smooth("SmoothMPRT", fixed(quantus.SmoothMPRT, abs=False, **top_down), **explained)


MONOTONICITY_SAMPLES = 3


def main():
    random = np.random.Generator(np.random.PCG64(11))
    network = Network(random)
    images = sixteenths(random, (CASES, 1, SIDE, SIDE), -2, 2)
    # No two values of a map alike, nor their absolute ones: nobody promises an order of equal values.
    maps = np.stack([random.permutation(PIXELS) + 1 for _ in range(CASES)]) / 16
    maps = (maps * random.choice([-1, 1], size=maps.shape)).reshape(CASES, 1, SIDE, SIDE)
    masks = np.zeros((CASES, 1, SIDE, SIDE), dtype=int)
    for case, (top, left, bottom, right) in enumerate([(1, 1, 4, 5), (0, 2, 3, 6), (2, 0, 6, 2)]):
        masks[case, 0, top:bottom, left:right] = 1
    classes = network.scores(images).argmax(axis=1)
    draws = DATA / "draws.json"
    draws = json.loads(draws.read_text()) if draws.exists() else {}

    evaluation = Evaluation(network, images, maps, masks, classes, draws)
    evaluation.maps_of_method = lambda: products(network, images, classes)
    assert (evaluation.maps_of_method() != 0).all()
    with warnings.catch_warnings(), mock.patch.object(utils, "get_wrapped_model", wrap):
        warnings.simplefilter("ignore")
        evaluate(evaluation)

    flat = lambda array: [row.ravel().tolist() for row in array]
    written = {
        "made_by": f"Quantus {quantus.__version__}, NumPy {np.__version__}, SciPy {scipy.__version__}, "
        f"scikit-image {skimage.__version__}",
        "side": SIDE,
        "first": network.first.ravel().tolist(),
        "second": network.second.ravel().tolist(),
        "images": flat(images),
        "maps": flat(maps),
        "masks": flat(masks),
        "classes": classes.tolist(),
        "found": evaluation.found,
    }
    DATA.mkdir(exist_ok=True)
    lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in written.items() if key != "found")
    found = ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in evaluation.found.items())
    (DATA / "quantus.json").write_text(f'{{\n{lines},\n"found": {{\n{found}\n}}\n}}\n')
    missing = "" if draws else "; draws.json is not there: run the test with ELUCID_WRITE_DRAWS=1, then this again"
    print(f"{len(evaluation.found)} metrics of Quantus {quantus.__version__}{missing}")


if __name__ == "__main__":
    main()
