"""Gradle and Maven build with the same versions, and every text has its translation."""

import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

from hiertk_edge.engines.executorch_program import VERSION as EXECUTORCH

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ANDROID = Path(__file__).resolve().parents[2] / "android_demo"
MAVEN = "{http://maven.apache.org/POM/4.0.0}"
# What one build has alone: the plugins of Gradle, aars, and what Google's repository has.
GRADLE_ALONE = {
    "agp",
    "androidx-test-runner",
    "androidx-test-junit",
    "androidx-test-core",
    "protobuf-plugin",
    "zxing",
    "executorch",
}


def test_gradle_and_maven_have_the_same_versions() -> None:
    catalog = tomllib.loads((ANDROID / "gradle/libs.versions.toml").read_text())["versions"]
    maven = versions_of(ANDROID / "pom.xml")
    assert {name: version for name, version in catalog.items() if name not in GRADLE_ALONE} == maven


def test_the_gate_has_gradles_versions_too() -> None:
    catalog = tomllib.loads((ANDROID / "gradle/libs.versions.toml").read_text())["versions"]
    assert versions_of(ANDROID / "gate/pom.xml")["zxing"] == catalog["zxing"]


def test_phone_and_python_have_the_same_engines() -> None:
    catalog = tomllib.loads((ANDROID / "gradle/libs.versions.toml").read_text())["versions"]
    sources = ANDROID / "learner-executorch/src/main/kotlin/org/hiertk/learner/executorch"
    learner = (sources / "ExecutorchLearner.kt").read_text()
    theirs = re.search(r'EXECUTORCH_VERSION = "(.*)"', learner)
    assert theirs is not None
    assert catalog["executorch"] == theirs[1] == EXECUTORCH


def test_the_gradle_that_is_fetched_is_checked() -> None:
    wrapper = (ANDROID / "gradle/wrapper/gradle-wrapper.properties").read_text()
    assert re.search(r"^distributionSha256Sum=[0-9a-f]{64}$", wrapper, re.MULTILINE)


def test_every_text_is_translated_with_the_same_places_for_values() -> None:
    ours, german = texts_of("values"), texts_of("values-de")
    assert german.keys() == ours.keys()
    assert {name: places(text) for name, text in german.items()} == {
        name: places(text) for name, text in ours.items()
    }


def test_every_text_is_used() -> None:
    sources = "".join(
        path.read_text()
        for path in (ANDROID / "app/src/main").rglob("*")
        if path.suffix in {".kt", ".xml"}
    )
    unused = {
        name
        for name, _ in (key.split("/") for key in texts_of("values"))
        if not re.search(rf"R\.(string|plurals)\.{name}\b|@string/{name}\b", sources)
    }
    assert unused == set()


def read(file: Path) -> ET.Element:
    """Return an XML file's root."""
    return ET.parse(file).getroot()  # noqa: S314 - files of this repository


def versions_of(pom: Path) -> dict[str, str]:
    """Return a POM's properties named *.version, without that ending."""
    properties = read(pom).find(f"{MAVEN}properties")
    assert properties is not None
    named = ((entry.tag.removeprefix(MAVEN), entry.text or "") for entry in properties)
    return {
        name.removesuffix(".version"): text for name, text in named if name.endswith(".version")
    }


def texts_of(folder: str) -> dict[str, str]:
    """Return the texts of a language by name/quantity; quantity is empty for plain ones."""
    texts = {}
    for entry in read(ANDROID / "app/src/main/res" / folder / "strings.xml"):
        for item in [entry] if entry.tag == "string" else entry:
            texts[f"{entry.attrib['name']}/{item.get('quantity', '')}"] = item.text or ""
    return texts


def places(text: str) -> set[str]:
    """Return the places for values in a text."""
    return set(re.findall(r"%\d\$[sd]", text))
