from dataclasses import replace

import pytest

from functions.retraining.pipeline import FIRST, STEPS, TABLE, pause
from functions.retraining.work import Act, Job, Outcome
from tests.unit.retraining.pipelines import KEY, SPEC, Place


def test_the_first_version_of_a_model_is_promoted_without_a_canary() -> None:
    place = Place()
    run = place.train()
    assert (run.state, run.version) == ("promoted", 1)
    release = place.registry.release("fraud")
    assert (release.champion, release.challenger, release.latest) == (1, None, 1)
    assert release.head.actor == f"learning run {run.id}"
    assert "there is no champion to compare it with" in release.head.why
    assert [kind for kind, _ in place.bus.events] == ["RunFinished"]


def test_a_version_names_the_run_the_data_and_its_parent() -> None:
    place = Place()
    place.train()
    run = place.train(bias=1)
    lineage = place.registry.manifest("fraud", 2).lineage
    assert lineage["run"] == run.id
    assert lineage["parent"] == 1
    assert lineage["code"] == {"commit": "4f2a"}
    assert lineage["data"] == {"key": KEY, "version": run.upload.version, "sha256": "abc", "rows": 100}
    assert {file.path for file in place.registry.manifest("fraud", 2).files} == {
        "card.html",
        "card.md",
        "certificate.json",
        "evaluation.json",
        "profile.json",
    }


def test_an_equal_canary_passes_all_its_steps() -> None:
    place = Place()
    place.train()
    place.traffic.requests = 20
    run = place.train(bias=1)
    assert run.state == "promoted"
    release = place.registry.release("fraud")
    assert (release.champion, release.previous, release.weight) == (2, 1, 0.0)
    shares = [entry.after.weight for entry in place.registry.audit("fraud") if entry.action == "canary"]
    assert shares == [0.5, 0.1]
    assert "canary passed: " in release.head.why
    assert place.clock.now - run.started_at >= 200


def test_without_traffic_a_canary_passes_and_the_audit_says_so() -> None:
    place = Place()
    place.train()
    assert place.train(bias=1).state == "promoted"
    assert "too little traffic to judge" in place.registry.release("fraud").head.why


def test_a_canary_with_more_errors_is_rolled_back_with_the_figures() -> None:
    place = Place()
    place.train()
    place.traffic.requests = 100
    place.traffic.errors = {2: 0.2}
    run = place.train(bias=1)
    assert (run.state, run.version) == ("rolled back", 2)
    release = place.registry.release("fraud")
    assert (release.champion, release.challenger, release.weight) == (1, None, 0.0)
    assert release.head.action == "rollback"
    assert "errors: 20" in release.head.why
    assert run.problem is not None
    assert place.clock.now - run.started_at < 100


def test_a_slower_canary_is_rolled_back() -> None:
    place = Place()
    place.train()
    place.traffic.requests = 100
    place.traffic.milliseconds = {2: 30}
    run = place.train(bias=1)
    assert run.state == "rolled back"
    assert "slower than" in place.registry.release("fraud").head.why


@pytest.mark.parametrize("step", ["validate", "train", "evaluate", "compress", "certify"])
def test_a_refusal_ends_in_a_report_an_event_and_an_unchanged_release(step: str) -> None:
    place = Place()
    place.train()
    before = place.registry.release("fraud")
    run = place.train(refuse=step)
    assert run.state == "refused"
    assert run.problem == {"step": step, "reason": f"{step} is not good enough", "advice": "Do better."}
    assert place.report(run)["problem"] == run.problem
    assert place.report(run)["steps"][step]["facts"] == {"seen": step}
    assert place.bus.events[-1][0] == "RunFailed"
    assert place.registry.release("fraud") == before
    if step == "certify":
        assert place.report(run)["steps"]["compress"]["facts"]["table"]["kind"] == "fp32"
    page = place.data.get(f"reports/fraud/run/{run.id}.html").data.decode()
    assert f"{step} is not good enough" in page


def test_an_upload_for_a_model_that_nobody_declared_is_refused() -> None:
    place = Place()
    run = place.run(place.upload("training/frauds/may.csv"))
    assert run.state == "refused"
    assert run.problem is not None
    assert "nobody has declared a model 'frauds'" in run.problem["reason"]
    assert place.registry.models() == ["fraud"]


def test_a_model_that_is_not_trained_refuses_data() -> None:
    place = Place(replace(SPEC, training=None))
    run = place.train()
    assert run.state == "refused"
    assert run.problem is not None
    assert "no [training] section" in run.problem["reason"]


def test_what_is_no_training_data_is_no_run() -> None:
    place = Place()
    place.data.put("training/fraud.csv", b"x")
    door = place.door()
    event = {"step": FIRST, "run": {"object": {"key": "training/fraud.csv"}}, "execution": "first"}
    assert door(event)["outcome"] == "end"
    assert place.data.list_folders("runs") == []


class Breaking:
    """A step that breaks off the first `times` times."""

    def __init__(self, act: Act, times: int) -> None:
        self._act = act
        self._times = times
        self.calls = 0

    def __call__(self, job: Job) -> Outcome:
        self.calls += 1
        if self.calls <= self._times:
            raise RuntimeError("out of luck")
        return self._act(job)


def test_an_error_is_tried_again() -> None:
    place = Place()
    door = place.door()
    once = Breaking(door.acts["train"], 1)
    door.acts = {**door.acts, "train": once}
    assert place.run(place.upload(), door=door).state == "promoted"
    assert once.calls == 2


def test_an_error_that_stays_ends_the_run_in_order() -> None:
    place = Place()
    door = place.door()
    always = Breaking(door.acts["train"], 99)
    door.acts = {**door.acts, "train": always}
    run = place.run(place.upload(), door=door)
    assert (run.state, always.calls) == ("failed", TABLE["train"].attempts)
    assert run.problem is not None
    assert run.problem["reason"] == "the step broke off: RuntimeError out of luck"


def test_every_step_leads_to_one_that_is_there() -> None:
    for step in STEPS:
        assert {target for target in step.leads.values() if target is not None} <= TABLE.keys()


def test_a_run_that_waits_for_another_looks_ever_less_often() -> None:
    """An execution may have 25,000 events, and a training job take a day."""
    assert [pause(waited) for waited in (0.0, 30.0, 600.0, 1e6)] == [2, 5, 62, 600]
    looks, waited = 0, 0.0
    while waited < 7 * 86_400:
        looks, waited = looks + 1, waited + pause(waited)
    assert looks * 9 < 15_000
