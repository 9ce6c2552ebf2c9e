"""Which images are trained on, in which order, and how lessons are cut."""

import numpy as np
import pytest
from hiertk.study.images import Images
from hiertk.study.new_classes.plan import lessons, plan_course
from hiertk.study.new_classes.settings import StudySize
from hiertk_protocol.errors import ConfigError

SIZE = StudySize(base_classes=2, base_images=6, new_images=5)


@pytest.fixture
def images() -> Images:
    slots = np.tile(np.arange(4), 10)
    return Images(np.zeros((40, 2, 2, 3), np.uint8), slots)


def test_each_image_is_trained_on_once(images: Images) -> None:
    course = plan_course(images, SIZE, seed=1)
    taken = [*course.base, *(number for numbers in course.new for number in numbers)]
    assert len(taken) == len(set(taken)) == 2 * 6 + 2 * 5
    assert sorted(course.all_at_once) == sorted(taken)


def test_the_base_has_the_first_classes_and_each_phase_one_more(images: Images) -> None:
    course = plan_course(images, SIZE, seed=1)
    slots = course.in_slots(images).slots
    assert set(slots[list(course.base)]) == {0, 1}
    assert [set(slots[list(numbers)]) for numbers in course.new] == [{2}, {3}]


def test_seed_0_keeps_the_order_and_others_draw_one(images: Images) -> None:
    assert plan_course(images, SIZE, seed=0).order == (0, 1, 2, 3)
    orders = {plan_course(images, SIZE, seed=seed).order for seed in range(1, 6)}
    assert len(orders) > 1
    assert plan_course(images, SIZE, seed=3) == plan_course(images, SIZE, seed=3)


def test_too_few_images_are_refused(images: Images) -> None:
    with pytest.raises(ConfigError, match="200 images each, there are 4 with 10"):
        plan_course(images, StudySize(base_classes=2, base_images=11), seed=0)


def test_lessons_end_at_marks_and_are_even_between() -> None:
    assert lessons(12, 4, marks=(5,)) == [(0, 2), (2, 5), (5, 8), (8, 12)]
    assert lessons(10, 16) == [(0, 10)]
    assert lessons(7, 4, marks=(7, 9)) == [(0, 3), (3, 7)]
