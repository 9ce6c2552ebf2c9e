"""Going through a course: the base first, then one new class after the other, measuring each."""

from collections.abc import Sequence

from hiertk_edge.training.rehearsal_feed import TAUGHT

from hiertk.study.images import Images
from hiertk.study.new_classes.learning import Learning
from hiertk.study.new_classes.measures import class_accuracies, mean_of
from hiertk.study.new_classes.methods import BATCH, OURS
from hiertk.study.new_classes.plan import Course, lessons
from hiertk.study.new_classes.records import ExitShares, Mark, Phase
from hiertk.study.new_classes.settings import MARKS

BASE_LESSON = BATCH // 2  # shuffled, so that no class is much of it
_MARK_NEW, _MARK_OLD = 100, 15  # test images of the new class and of each old one, at a mark


class Teacher:
    """Teaches one course.

    names: of the classes by slots. test: images in slots. of_one_class: new images of a class in a
    lesson, at most.
    """

    def __init__(
        self,
        learning: Learning,
        course: Course,
        names: Sequence[str],
        test: Images,
        of_one_class: int,
    ) -> None:
        self._learning = learning
        self._of_one_class = of_one_class
        self._course = course
        self._names = tuple(names)
        self._test = test

    def teach_all_at_once(self) -> Phase:
        """Teach all classes, shuffled, in as many steps as HierTK takes for one after the other."""
        course = self._course
        steps = len(lessons(len(course.base), BASE_LESSON)) + sum(
            1 + OURS.practice * (stop <= TAUGHT)
            for images in course.new
            for _, stop in self._lessons(images)
        )
        most = -(-len(course.all_at_once) // steps)
        self._teach(course.all_at_once, most)
        return self.measure(len(self._names))

    def teach_base(self) -> None:
        """Teach the classes of the base, shuffled."""
        base = self._course.base
        self._learning.teach(list(base[:BATCH]))  # nothing can be rehearsed yet
        self._teach(base[BATCH:], BASE_LESSON)

    def teach_new_classes(self) -> list[Phase]:
        """Teach the classes that follow, one after the other."""
        first = len(self._names) - len(self._course.new)
        return [
            self._teach_new_class(first + place, images)
            for place, images in enumerate(self._course.new)
        ]

    def measure(self, classes: int, marks: Sequence[Mark] = ()) -> Phase:
        """Ask both exits for all test images of the first so many classes."""
        shares = self._shares(self._test.of(range(classes)), classes)
        return Phase(classes=self._names[:classes], shares=shares, marks=tuple(marks))

    def _teach_new_class(self, slot: int, images: Sequence[int]) -> Phase:
        self._learning.name(self._names[slot])
        began = self._learning.seconds
        marks = []
        for start, stop in self._lessons(images):
            self._learning.teach(list(images[start:stop]), practice=stop <= TAUGHT)
            if stop in MARKS:
                marks.append(self._mark(slot, stop, began))
        return self.measure(slot + 1, marks)

    def _mark(self, slot: int, examples: int, began: float | None) -> Mark:
        now = self._learning.seconds
        new = self._shares(self._test.of([slot], _MARK_NEW), slot + 1)
        old = self._shares(self._test.of(range(slot), _MARK_OLD), slot)
        return Mark(
            examples=examples,
            seconds=None if now is None or began is None else now - began,
            early_new=new.early[slot],
            early_old=mean_of(old.early, range(slot)),
            final_new=new.final[slot],
            final_old=mean_of(old.final, range(slot)),
        )

    def _lessons(self, images: Sequence[int]) -> list[tuple[int, int]]:
        return lessons(len(images), self._of_one_class, MARKS)

    def _teach(self, images: Sequence[int], most: int) -> None:
        for start, stop in lessons(len(images), most):
            self._learning.teach(list(images[start:stop]))

    def _shares(self, images: Images, classes: int) -> ExitShares:
        answers = self._learning.answer(images)
        early, final = (
            class_accuracies(slots, images.slots, classes).tolist()
            for slots in (answers.early, answers.final)
        )
        return ExitShares(early=tuple(early), final=tuple(final))
