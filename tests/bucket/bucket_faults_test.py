#!/usr/bin/env python3
"""Nothing is lost, doubled or left behind when Ferry dies, the service dies, answers are lost or connections cut."""
from __future__ import annotations

import random
import secrets

from bucket_case import BUCKET, CSV, BucketCase, FerryCommand, main
from ferry_command import DEADLINE_S, wait_for
from s3_gateway import Fault

FOLLOW = [*CSV, "--follow", "--set", "CdcMaxBatchInterval=1"]
CLIENT_ATTEMPTS = 10  # After which the client gives up, and the task tries again.
MARKER = "INSERT INTO small (note) VALUES ('marker')"
AROUND_PUBLISH = ("before_object_intent", "after_object_intent", "before_object_publish", "after_object_publish",
                  "before_object_done", "after_object_done")


class FaultCase(BucketCase):
    def setUp(self) -> None:
        super().setUp()
        self.make_wide_table(rows=6000)
        self.server.sql("CREATE TABLE small (id serial PRIMARY KEY, note text); INSERT INTO small (note) VALUES ('first')")

    def follow(self, failpoint: str = "") -> FerryCommand:
        return self.copy(f"s3://{BUCKET}/", *FOLLOW, failpoint=failpoint)

    def change(self, first: int) -> None:
        """Changes whose object is larger than a part, and small ones."""
        self.insert_wide(first, 6000)
        self.server.sql(f"UPDATE wide SET number = {first} WHERE id % 7 = 0; DELETE FROM wide WHERE id % 11 = 0; "
                        f"INSERT INTO small (note) VALUES ('{first}'); UPDATE small SET note = 'x' || note")

    def finish(self, command: FerryCommand) -> None:
        # Before the changes are followed the slot already stands where it was made.
        command.wait_for_output("following changes")
        self.wait_until_confirmed(command, marker=MARKER)
        command.stop()
        self.compare("wide", "small")
        self.require_clean_gateway()


class DeathTest(FaultCase):
    def check_death_in_load(self, failpoint: str) -> None:
        command = self.follow(failpoint)
        self.assertEqual(command.wait(DEADLINE_S), -9, command.report())
        self.finish(self.follow())

    def check_death_in_changes(self, failpoint: str) -> None:
        command = self.follow()
        command.wait_for_output("following changes")
        command.stop()
        command = self.follow(failpoint)
        self.change(10000)
        self.assertEqual(command.wait(DEADLINE_S), -9, command.report())
        self.change(20000)
        self.finish(self.follow())

    def test_in_the_middle_of_an_upload(self) -> None:
        command = self.follow()
        wait_for(lambda: self.gateway.counts()["UploadPart"] > 0, "a part")
        command.kill()
        self.finish(self.follow())


    def test_a_stop_in_the_middle_of_an_upload_leaves_none(self) -> None:
        self.gateway.inject("UploadPart", Fault.answer(503, "SlowDown"), times=None)
        command = self.follow()
        wait_for(lambda: self.gateway.counts()["UploadPart"] > 0, "a part")
        command.stop()
        self.assertEqual(self.s3.reader.uploads(BUCKET), [])
        self.gateway.clear()
        self.finish(self.follow())


class LostAnswersTest(FaultCase):
    def test_every_call_passes_through_every_fault(self) -> None:
        command = self.follow()
        command.wait_for_output("following changes")
        for action in ("PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"):
            self.gateway.inject(action, Fault.answer(503, "SlowDown"), times=2)
            self.gateway.inject(action, Fault.answer(500, "InternalError"))
            self.gateway.inject(action, Fault.cut())
            self.gateway.inject(action, Fault.lost_answer())
        self.gateway.inject("UploadPart", Fault.cut(body_bytes=1 << 20), times=2)
        self.gateway.inject("PutObject", Fault.cut(body_bytes=10))
        self.change(10000)
        command.wait_until(lambda: not self.gateway.pending, "all faults", DEADLINE_S * 2)
        self.finish(command)

    def test_an_upload_that_was_begun_without_an_answer_is_removed(self) -> None:
        """Nothing else fails: what a client repeats by itself on a connection that it kept is known too."""
        command = self.follow()
        command.wait_for_output("following changes")
        self.change(10000)
        command.wait_until(lambda: self.gateway.counts()["CompleteMultipartUpload"] == 2, "an upload on a kept connection")
        self.gateway.inject("CreateMultipartUpload", Fault.lost_answer())
        self.change(20000)
        command.wait_until(lambda: not self.gateway.pending, "the fault")
        self.finish(command)

    def test_a_load_passes_through_every_fault(self) -> None:
        for action in ("ListObjectsV2", "PutObject", "DeleteObject", "ListMultipartUploads", "CreateMultipartUpload",
                       "UploadPart", "CompleteMultipartUpload"):
            # The first call of a client that has had no answer yet is tried thrice.
            self.gateway.inject(action, Fault.answer(503, "SlowDown"), times=2)
            self.gateway.inject(action, Fault.cut())
            self.gateway.inject(action, Fault.lost_answer())
        command = self.follow()
        command.wait_for_output("following changes")
        self.assertEqual(self.gateway.pending, [])
        self.finish(command)

    def test_a_service_that_slows_down_for_long_is_waited_for(self) -> None:
        """The client gives up, and the task tries again from the start."""
        command = self.follow()
        command.wait_for_output("following changes")
        self.gateway.inject("PutObject", Fault.answer(503, "SlowDown"), times=None)
        before = self.gateway.counts()["PutObject"]
        self.server.sql("INSERT INTO small (note) VALUES ('waits')")
        command.wait_until(lambda: self.gateway.counts()["PutObject"] > before + CLIENT_ATTEMPTS, "attempts after the client's last",
                           DEADLINE_S * 3)
        self.gateway.clear()
        self.finish(command)

    def test_a_stop_while_the_service_slows_down_loses_nothing(self) -> None:
        command = self.follow()
        command.wait_for_output("following changes")
        before = self.gateway.counts()["PutObject"]
        self.gateway.inject("PutObject", Fault.answer(503, "SlowDown"), times=None)
        self.server.sql("INSERT INTO small (note) VALUES ('waits')")
        command.wait_until(lambda: self.gateway.counts()["PutObject"] > before, "an attempt")
        command.stop()
        self.gateway.clear()
        self.finish(self.follow())


class RestartedServiceTest(FaultCase):
    def test_while_a_task_runs(self) -> None:
        if not self.s3.keeps_objects:
            self.skipTest("moto_server forgets its objects when it ends")
        command = self.follow()
        command.wait_for_output("following changes")
        self.change(10000)
        self.s3.kill()
        self.change(20000)
        before = len(self.gateway.calls)
        wait_for(lambda: len(self.gateway.calls) > before + 2, "attempts while the service is gone")
        self.s3.start()
        self.change(30000)
        self.finish(command)

    def test_in_the_middle_of_an_upload(self) -> None:
        if not self.s3.keeps_objects:
            self.skipTest("moto_server forgets its objects when it ends")
        command = self.follow()
        wait_for(lambda: self.gateway.counts()["UploadPart"] > 0, "a part")
        self.s3.kill()
        self.s3.start()
        command.wait_for_output("following changes")
        self.finish(command)


    def test_everything_dies_again_and_again(self) -> None:
        if not self.s3.keeps_objects:
            self.skipTest("moto_server forgets its objects when it ends")
        seed = secrets.randbelow(1 << 32)
        chance = random.Random(seed)
        print(f"seed {seed}", flush=True)

        def ferry_dies(command: FerryCommand, before: int) -> FerryCommand:
            # A change takes five calls at least: one for the small object, four for the large one.
            calls = before + chance.randrange(6)
            command.wait_until(lambda: len(self.gateway.calls) >= calls, "calls")
            command.kill()
            starts = self.gateway.counts()["ListMultipartUploads"]
            command = self.follow()
            # Before it has been in contact with its target a copy does not wait for it.
            command.wait_until(lambda: self.gateway.counts()["ListMultipartUploads"] > starts, "the start")
            return command

        def service_dies(command: FerryCommand, _: int) -> FerryCommand:
            self.s3.kill()
            calls = len(self.gateway.calls) + chance.randrange(1, 4)
            command.wait_until(lambda: len(self.gateway.calls) >= calls, "attempts while the service is gone")
            self.s3.start()
            return command

        def calls_fail(command: FerryCommand, _: int) -> FerryCommand:
            for action in ("PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "DeleteObject"):
                fault = chance.choice([Fault.cut(), Fault.cut(1 << 20), Fault.lost_answer(), Fault.answer(503, "SlowDown")])
                self.gateway.inject(action, fault, times=chance.randrange(1, 3), skip=chance.randrange(2))
            return command

        command = self.follow()
        for number in range(1, 13):
            before = len(self.gateway.calls)
            self.change(number * 10000)
            with self.subTest(seed=seed, number=number):
                command = chance.choice([ferry_dies, ferry_dies, service_dies, calls_fail])(command, before)
        self.finish(command)


def add_deaths() -> None:
    """One test for each place of death."""
    for failpoint in AROUND_PUBLISH:
        def in_load(self: DeathTest, failpoint: str = failpoint) -> None:
            self.check_death_in_load(failpoint)

        def in_changes(self: DeathTest, failpoint: str = failpoint) -> None:
            self.check_death_in_changes(failpoint)

        setattr(DeathTest, f"test_load_{failpoint}", in_load)
        setattr(DeathTest, f"test_changes_{failpoint}", in_changes)


add_deaths()

if __name__ == "__main__":
    main()
