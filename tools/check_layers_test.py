#!/usr/bin/env python3
"""Proves that an upward #include stops the build and that an upward link stops the configuration.

A fixture of two layers is configured with the real cmake/FerryBuild.cmake and the real check_layers.py, once
as it should be and once with each mistake. Nothing is compiled.
"""

import pathlib
import shutil
import subprocess
import tempfile
import unittest

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]

# The compiler is not tried: only the rules are of interest.
CMAKE_LISTS = """\
cmake_minimum_required(VERSION 3.25)
set(CMAKE_CXX_COMPILER_WORKS TRUE)
project(Fixture LANGUAGES CXX)
include(cmake/FerryBuild.cmake)
add_subdirectory(src/base)
add_subdirectory(src/engine)
add_subdirectory(src/connectors/one)
add_subdirectory(src/connectors/two)
add_subdirectory(src/connectors)
add_subdirectory(src/model)
"""


class CheckLayersTest(unittest.TestCase):
    root: pathlib.Path

    # One build folder for all tests: CMake looks at the compiler once.
    @classmethod
    def setUpClass(cls) -> None:
        temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(temporary.cleanup)
        cls.root = pathlib.Path(temporary.name)
        for file in ("cmake/FerryBuild.cmake", "tools/check_layers.py"):
            (cls.root / file).parent.mkdir(exist_ok=True)
            shutil.copy(REPOSITORY / file, cls.root / file)

    def setUp(self) -> None:
        self.write("CMakeLists.txt", CMAKE_LISTS)
        self.layer("base", "base", links=[], include="<string>")
        self.layer("model", "model", links=["base"], include='"base/base.h"')
        self.layer("engine", "engine", links=["base"], include='"base/base.h"')
        self.layer("connectors/one", "one", links=["base"], include='"base/base.h"')
        self.layer("connectors/two", "two", links=["base"], include='"base/base.h"')
        self.layer("connectors", "registry", links=["one", "two"], include='"connectors/one/one.h"')

    def write(self, file: str, text: str) -> None:
        (self.root / file).parent.mkdir(parents=True, exist_ok=True)
        (self.root / file).write_text(text, encoding="utf-8")

    def layer(self, folder: str, name: str, links: list[str], include: str, vendor: str = "") -> None:
        self.write(f"src/{folder}/CMakeLists.txt",
                   f"ferry_layer({name} FOLDER {folder} LINKS {' '.join(links)} VENDOR {vendor})\n")
        self.write(f"src/{folder}/{name}.cc", f"#include {include}\n")
        self.write(f"src/{folder}/{name}.h", "")

    def run_cmake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["cmake", *arguments]
        return subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False)

    def configure(self) -> subprocess.CompletedProcess[str]:
        return self.run_cmake("-G", "Ninja", "-S", ".", "-B", "build", "-DFERRY_TESTS=OFF")

    def build_layer_check(self, name: str) -> subprocess.CompletedProcess[str]:
        configured = self.configure()
        self.assertEqual(configured.returncode, 0, configured.stderr)
        return self.run_cmake("--build", "build", "--target", f"{name}_layers")

    def test_accepts_layers_as_they_should_be(self) -> None:
        for name in ("base", "model", "engine", "one", "two", "registry"):
            built = self.build_layer_check(name)
            self.assertEqual(built.returncode, 0, built.stdout)

    def test_an_upward_include_stops_the_build(self) -> None:
        self.layer("base", "base", links=[], include='"engine/engine.h"')
        built = self.build_layer_check("base")
        self.assertNotEqual(built.returncode, 0)
        self.assertIn("layer 'base' may not include engine/engine.h", built.stdout + built.stderr)

    def test_the_library_waits_for_the_include_check(self) -> None:
        self.assertEqual(self.configure().returncode, 0)
        inputs = self.run_cmake("--build", "build", "--", "-t", "query", "cmake_object_order_depends_target_ferry_base")
        self.assertIn("base_layers", inputs.stdout)

    def test_an_engine_that_includes_a_connector_stops_the_build(self) -> None:
        self.layer("engine", "engine", links=["base"], include='"connectors/one/one.h"')
        self.assertNotEqual(self.build_layer_check("engine").returncode, 0)

    def test_a_connector_that_includes_another_stops_the_build(self) -> None:
        self.layer("connectors/one", "one", links=["base"], include='"connectors/two/two.h"')
        built = self.build_layer_check("one")
        self.assertNotEqual(built.returncode, 0)
        self.assertIn("includes another connector's", built.stdout + built.stderr)

    def test_an_upward_link_stops_the_configuration(self) -> None:
        self.layer("model", "model", links=["base", "engine"], include='"base/base.h"')
        configured = self.configure()
        self.assertNotEqual(configured.returncode, 0)
        self.assertIn("Layer 'model' (ferry_model) may not link 'engine' (ferry_engine)", configured.stderr)

    def test_an_engine_that_links_a_connector_stops_the_configuration(self) -> None:
        lists = CMAKE_LISTS.replace("add_subdirectory(src/engine)\n", "") + "add_subdirectory(src/engine)\n"
        self.write("CMakeLists.txt", lists)
        self.layer("engine", "engine", links=["one"], include='"base/base.h"')
        self.assertNotEqual(self.configure().returncode, 0)

    def test_a_connector_that_links_another_stops_the_configuration(self) -> None:
        self.layer("connectors/two", "two", links=["base", "one"], include='"base/base.h"')
        configured = self.configure()
        self.assertNotEqual(configured.returncode, 0)
        self.assertIn("'connectors/two' may not link ferry_one, another connector", configured.stderr)

    def test_a_layer_among_foreign_targets_stops_the_configuration(self) -> None:
        self.layer("model", "model", links=["base"], include='"base/base.h"', vendor="ferry_engine")
        configured = self.configure()
        self.assertNotEqual(configured.returncode, 0)
        self.assertIn("ferry_engine is no foreign target of ferry_model", configured.stderr)


if __name__ == "__main__":
    unittest.main()
