"""Texts of questions about videos: one class a data set, which differ in the files they read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from typing_extensions import override

from mmvt.errors import DataError
from mmvt.processors.labels import QuestionClips
from mmvt.processors.meta import activitynet_qa, nextqa, open_questions, tvqa
from mmvt.processors.questions import AskedQuestion, TrainingAnswers
from mmvt.processors.splits import SplitPaths, named
from mmvt.processors.text.annotated import AnnotatedTextProcessor


class QuestionTextProcessor(AnnotatedTextProcessor):
    """Tokenises questions and their answers.

    Args:
        paths: files of the splits.
        bert_name: name or folder of the tokenizer.
        read: returns the questions of a file.
    """

    def __init__(
        self, paths: SplitPaths, bert_name: str, read: Callable[[Path], Sequence[AskedQuestion]]
    ) -> None:
        super().__init__(paths.every(), bert_name)
        files = {path: read(path) for path in paths.every()}
        self._questions: dict[str, AskedQuestion] = {}
        for path, questions in files.items():
            twice = [q.text_id for q in questions if q.text_id in self._questions]
            if twice:
                raise DataError(f"{path}: ids of questions of another split: {named(twice)}")
            self._questions |= {question.text_id: question for question in questions}
        self._training = None if paths.train is None else TrainingAnswers(files[paths.train])

    @override
    def __call__(self, text_id: Any) -> QuestionClips:
        asked = self.find(self._questions, text_id)
        training = self._training
        return QuestionClips(
            **self.timed(asked.answers, [asked.span] * len(asked.answers)),
            answer=asked.answer,
            question=self.tokens(asked.text),
            groups=asked.groups,
            context=self.tokens(asked.context),
            known=None if training is None else asked.right in training,
            guess=None if training is None else training.guess(asked.text),
        )


class NExTQATextProcessor(QuestionTextProcessor):
    """Tokenises questions of NExT-QA and their five answers.

    Args:
        bert_name: name or folder of the tokenizer.
        train_path: ``train.csv``.
        val_path: ``val.csv``.
        test_path: ``test.csv``.
    """

    def __init__(
        self,
        *,
        bert_name: str,
        train_path: Path | None = None,
        val_path: Path | None = None,
        test_path: Path | None = None,
    ) -> None:
        paths = SplitPaths(train_path, val_path, test_path)
        super().__init__(paths, bert_name, nextqa.read_choices)


class ActivityNetQATextProcessor(QuestionTextProcessor):
    """Tokenises questions of ActivityNet-QA and their answers.

    Args:
        bert_name: name or folder of the tokenizer.
        train_path: ``train_q.json``; its answers are beside it.
        val_path: ``val_q.json``.
        test_path: ``test_q.json``.
    """

    def __init__(
        self,
        *,
        bert_name: str,
        train_path: Path | None = None,
        val_path: Path | None = None,
        test_path: Path | None = None,
    ) -> None:
        paths = SplitPaths(train_path, val_path, test_path)
        super().__init__(paths, bert_name, activitynet_qa.read_questions)


class OpenQuestionTextProcessor(QuestionTextProcessor):
    """Tokenises questions in the form of MSR-VTT-QA and MSVD-QA, and their answers.

    Args:
        bert_name: name or folder of the tokenizer.
        train_path: questions for training.
        val_path: questions for validation.
        test_path: questions for testing.
    """

    def __init__(
        self,
        *,
        bert_name: str,
        train_path: Path | None = None,
        val_path: Path | None = None,
        test_path: Path | None = None,
    ) -> None:
        paths = SplitPaths(train_path, val_path, test_path)
        super().__init__(paths, bert_name, open_questions.read_questions)


class TVQATextProcessor(QuestionTextProcessor):
    """Tokenises questions of TVQA and their five answers.

    Args:
        bert_name: name or folder of the tokenizer.
        train_path: ``tvqa_train.jsonl``.
        val_path: ``tvqa_val.jsonl``.
        test_path: a file of the same form with answers.
        times: show the part of the clip that the question is about; the whole clip otherwise.
        transcripts: folder with what is said in each clip, ``<clip>.srt``, ``.vtt`` or ``.json``;
            words of the part that is shown become the context of the question. Null = none.
    """

    def __init__(
        self,
        *,
        bert_name: str,
        train_path: Path | None = None,
        val_path: Path | None = None,
        test_path: Path | None = None,
        times: bool = False,
        transcripts: Path | None = None,
    ) -> None:
        paths = SplitPaths(train_path, val_path, test_path)
        self._transcripts = transcripts
        super().__init__(paths, bert_name, lambda path: tvqa.read_questions(path, times))

    @override
    def __call__(self, text_id: Any) -> QuestionClips:
        clips = super().__call__(text_id)
        if self._transcripts is None:
            return clips
        asked = self.find(self._questions, text_id)
        said = tvqa.said_in(self._transcripts, asked.video_id, asked.span)
        return replace(clips, context=self.tokens(said))
