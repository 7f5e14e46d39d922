"""Tests of postgres_server.py on the oldest and the newest PostgreSQL that is installed."""

import unittest

import postgres_server
import psycopg
from postgres_server import PostgresServer


class PostgresServerTest(unittest.TestCase):
    def setUp(self) -> None:
        installed = postgres_server.installed_majors()
        if not installed:
            self.skipTest("no PostgreSQL is installed")
        self.majors = sorted({installed[0], installed[-1]})

    def test_keeps_data_over_stop_and_kill(self) -> None:
        for major in self.majors:
            with self.subTest(major=major), PostgresServer(major) as server:
                version = int(server.sql("SHOW server_version_num")[0][0])
                self.assertEqual(version // 10000, major)
                server.sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
                server.restart()
                server.sql("INSERT INTO t VALUES (%s)", [2])
                server.kill()
                with self.assertRaises(psycopg.OperationalError):
                    server.sql("SELECT 1")
                server.start()
                self.assertEqual(server.sql("SELECT id FROM t ORDER BY id"), [(1,), (2,)])

    def test_lets_settings_win_over_the_defaults(self) -> None:
        with PostgresServer(self.majors[0], ["wal_level = replica"]) as server:
            self.assertEqual(server.sql("SHOW wal_level"), [("replica",)])

    def test_says_why_it_did_not_start_and_removes_its_folder(self) -> None:
        server = PostgresServer(self.majors[0], ["shared_buffers = nonsense"])
        with self.assertRaisesRegex(RuntimeError, "nonsense"):
            server.start()
        self.assertFalse(server.running)
        with self.assertRaises(AssertionError):
            server.data_directory

    def test_removes_its_folder(self) -> None:
        with PostgresServer(self.majors[0]) as server:
            folder = server.data_directory.parent
            self.assertTrue(folder.exists())
        self.assertFalse(folder.exists())


if __name__ == "__main__":
    unittest.main()
