"""Streaming LDA is LDA: its means, covariance and answers are those of all samples at once."""

import numpy as np
import pytest
from hiertk.study.new_classes.slda import StreamingLda

CLASSES, FEATURES = 3, 5


@pytest.fixture
def samples() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, CLASSES, 300)
    mixing = generator.normal(size=(FEATURES, FEATURES))
    centers = 3 * generator.normal(size=(CLASSES, FEATURES))
    features = centers[labels] + generator.normal(size=(300, FEATURES)) @ mixing
    return features.astype(np.float32), labels


def test_a_stream_gives_the_means_and_the_covariance_of_all(
    samples: tuple[np.ndarray, np.ndarray],
) -> None:
    features, labels = samples
    lda = StreamingLda(FEATURES, CLASSES)
    for start in range(0, 300, 7):
        lda.learn(features[start : start + 7], labels[start : start + 7])
    means = np.stack([features[labels == one].mean(axis=0) for one in range(CLASSES)])
    centered = features - means[labels]
    np.testing.assert_allclose(lda.means, means, rtol=1e-5)
    np.testing.assert_allclose(lda.covariance, centered.T @ centered / 300, rtol=1e-4, atol=1e-5)


def test_it_answers_as_the_closed_form(samples: tuple[np.ndarray, np.ndarray]) -> None:
    """The nearest mean by Mahalanobis distance, classes equally likely."""
    features, labels = samples
    lda = StreamingLda(FEATURES, CLASSES)
    lda.learn(features, labels)
    means = np.stack([features[labels == one].mean(axis=0) for one in range(CLASSES)])
    centered = features - means[labels]
    precision = np.linalg.inv(centered.T @ centered / 300)
    apart = features[:, None, :] - means[None]
    distances = np.einsum("nkd,de,nke->nk", apart, precision, apart)
    assert np.mean(lda.predict(features) == distances.argmin(axis=1)) > 0.995


def test_a_class_that_never_came_is_never_said(samples: tuple[np.ndarray, np.ndarray]) -> None:
    features, labels = samples
    lda = StreamingLda(FEATURES, CLASSES + 1)
    lda.learn(features[labels != 1], labels[labels != 1])
    assert set(lda.predict(features).tolist()) <= {0, 2}
