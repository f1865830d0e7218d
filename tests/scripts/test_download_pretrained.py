"""scripts/download_pretrained.sh against a server on this machine and archives made here."""

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile

import pytest

from helpers.archives import make_zip, snapshot

NAME = "albert_tiny_489k"
ARCHIVE = NAME + ".zip"
CHECKPOINT = {
    "albert_model.ckpt.index": b"index",
    "albert_model.ckpt.data-00000-of-00001": bytes(range(256)) * 400,
    "vocab.txt": b"[PAD]\n",
}


@pytest.fixture
def download(repo_root, server, tmp_path):
    """Calls the script in an empty folder."""

    def call(*arguments, **variables):
        url = "http://127.0.0.1:%d" % server.server_port
        environment = dict(
            os.environ,
            ALBERT_ZH_BASE_URL=url + "/zh",
            ALBERT_GOOGLE_BASE_URL=url + "/google/",
            PYTHON=sys.executable,
            no_proxy="127.0.0.1",
        )
        environment.pop("ALBERT_SHA256", None)
        environment.update(variables)
        return subprocess.run(
            ["bash", os.path.join(repo_root, "scripts", "download_pretrained.sh")]
            + list(arguments),
            cwd=str(tmp_path),
            env=environment,
            capture_output=True,
            text=True,
        )

    return call


@pytest.fixture
def our_config(repo_root):
    with open(os.path.join(repo_root, "albert_config", "albert_config_tiny.json")) as handle:
        return json.load(handle)


def make_tar(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def assert_refused(result, message):
    """One sentence, which is the last line; curl may have said more before."""
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert last.endswith(".")
    assert message in last


def test_download(download, server, tmp_path, our_config):
    config = json.dumps(our_config)
    content = make_zip(dict(CHECKPOINT, **{"albert_config_tiny.json": config}))
    server.files["/zh/" + ARCHIVE] = content
    result = download(NAME)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert sha256(content) in result.stdout
    assert result.stdout.splitlines()[-3:] == [
        "--init_checkpoint=pretrained/%s/albert_model.ckpt" % NAME,
        "--bert_config_file=pretrained/%s/albert_config_tiny.json" % NAME,
        "--vocab_file=pretrained/%s/vocab.txt" % NAME,
    ]

    files = snapshot(tmp_path / "pretrained")
    sums = files.pop(os.path.join(NAME, "SHA256SUMS")).decode().splitlines()
    assert sums[0] == "# %s  %s" % (sha256(content), ARCHIVE)
    assert files.pop(ARCHIVE) == content
    unpacked = {os.path.basename(path): content for path, content in files.items()}
    assert unpacked == dict(CHECKPOINT, **{"albert_config_tiny.json": config.encode()})
    assert sorted(sums[1:]) == sorted("%s  %s" % (sha256(unpacked[n]), n) for n in unpacked)


def test_google_archive_and_target(download, server, tmp_path):
    """Directories in the archive are dropped, so nothing can be written outside the target."""
    renamed = {
        "../x/" + name.replace("albert_model", "model"): CHECKPOINT[name] for name in CHECKPOINT
    }
    renamed["albert_base/albert_config.json"] = b"{}"
    renamed["albert_base/._vocab.txt"] = b"litter"
    server.files["/google/albert_base_zh.tar.gz"] = make_tar(renamed)
    (tmp_path / "my model").mkdir()
    result = download("albert_base_zh_google", "my model/")
    assert result.returncode == 0, result.stderr
    assert "--init_checkpoint=./my model/model.ckpt\n" in result.stdout
    assert "--bert_config_file=./my model/albert_config.json\n" in result.stdout
    expected = {os.path.basename(name) for name in renamed} - {"._vocab.txt"}
    assert set(os.listdir(str(tmp_path / "my model"))) == expected | {"SHA256SUMS"}
    assert sorted(os.listdir(str(tmp_path))) == ["albert_base_zh.tar.gz", "my model"]


def test_second_call_verifies_and_downloads_nothing(download, server, tmp_path):
    content = make_zip(CHECKPOINT)
    server.files["/zh/" + ARCHIVE] = content
    first = download(NAME)
    again = download(NAME, ALBERT_SHA256=sha256(content).upper())
    assert again.returncode == 0
    assert "is complete and agrees with its SHA256SUMS" in again.stdout
    assert again.stdout.splitlines()[-3:] == first.stdout.splitlines()[-3:]
    assert server.starts == [0]

    assert_refused(download(NAME, ALBERT_SHA256="0" * 64), "0" * 64)
    (tmp_path / "pretrained" / NAME / "vocab.txt").write_text("changed")
    before = snapshot(tmp_path)
    assert_refused(download(NAME), "files differ from")
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("ranges, starts", [(True, [1000]), (False, [0, 0])])
def test_continues_a_partial_file(download, server, tmp_path, ranges, starts):
    content = make_zip(CHECKPOINT)
    server.files["/zh/" + ARCHIVE] = content
    server.ranges = ranges
    (tmp_path / (ARCHIVE + ".part")).write_bytes(content[:1000])
    result = download(NAME, "model")
    assert result.returncode == 0, result.stderr
    assert server.starts == starts
    assert (tmp_path / ARCHIVE).read_bytes() == content
    assert not (tmp_path / (ARCHIVE + ".part")).exists()


def test_interrupted_download_is_kept_and_continued(download, server, tmp_path):
    content = make_zip(CHECKPOINT)
    server.files["/zh/" + ARCHIVE] = content
    server.break_after = 5000
    assert_refused(download(NAME, "model"), "run the same command again to continue")
    assert snapshot(tmp_path) == {ARCHIVE + ".part": content[:5000]}
    server.break_after = None
    assert download(NAME, "model").returncode == 0
    assert server.starts == [0, 5000]


def test_partial_file_may_be_complete(download, server, tmp_path):
    content = make_zip(CHECKPOINT)
    server.files["/zh/" + ARCHIVE] = content
    (tmp_path / (ARCHIVE + ".part")).write_bytes(content)
    assert download(NAME, "model").returncode == 0
    assert server.starts == []
    assert (tmp_path / ARCHIVE).read_bytes() == content


def test_archive_fetched_by_hand_is_used(download, server, tmp_path):
    content = make_zip(CHECKPOINT)
    (tmp_path / ARCHIVE).write_bytes(content)
    result = download(NAME, "model")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / ARCHIVE).read_bytes() == content
    assert (tmp_path / "model" / "vocab.txt").exists()


def damaged(content):
    """Changes one byte of the largest file, which is stored as it is."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "name, path, content, message",
    [
        (NAME, "/zh/" + ARCHIVE, damaged(make_zip(CHECKPOINT)), "not a sound archive (Bad CRC"),
        (NAME, "/zh/" + ARCHIVE, make_zip(CHECKPOINT)[:-30], "not a sound archive"),
        (NAME, "/zh/" + ARCHIVE, b"<html>sign in</html>", "not a sound archive"),
        (NAME, "/zh/" + ARCHIVE, make_zip({"a.index": b""}), "holds no complete checkpoint"),
        (
            "albert_large_zh_google",
            "/google/albert_large_zh.tar.gz",
            make_tar(CHECKPOINT)[:-4],
            "not a sound archive",
        ),
        (
            "albert_large_zh_google",
            "/google/albert_large_zh.tar.gz",
            b"<html>sign in</html>",
            "not a sound archive",
        ),
    ],
    ids=["zip-byte", "zip-end", "zip-html", "zip-content", "tar-end", "tar-html"],
)
def test_bad_archive(download, server, tmp_path, name, path, content, message):
    server.files[path] = content
    result = download(name, "model")
    assert_refused(result, message)
    assert result.stderr.count("\n") == 1
    assert snapshot(tmp_path) == {os.path.basename(path) + ".rejected": content}
    assert not (tmp_path / "model").exists()


def test_bad_archive_of_the_user_stays(download, tmp_path):
    (tmp_path / ARCHIVE).write_bytes(b"mine")
    assert_refused(download(NAME, "model"), "move it away")
    assert snapshot(tmp_path) == {ARCHIVE: b"mine"}


def test_required_checksum(download, server, tmp_path):
    content = make_zip(CHECKPOINT)
    server.files["/zh/" + ARCHIVE] = content
    assert_refused(
        download(NAME, "model", ALBERT_SHA256="f" * 64), "has the SHA-256 " + sha256(content)
    )
    assert not (tmp_path / "model").exists()
    assert download(NAME, "model", ALBERT_SHA256=sha256(content)).returncode == 0


@pytest.mark.parametrize(
    "files, code, message",
    [
        ({"notes.txt": b"mine"}, 1, "holds no complete checkpoint"),
        (CHECKPOINT, 0, "not verified"),
    ],
    ids=["incomplete", "complete"],
)
def test_existing_target_is_untouched(download, server, tmp_path, files, code, message):
    server.files["/zh/" + ARCHIVE] = make_zip({})
    (tmp_path / "model").mkdir()
    for name, content in files.items():
        (tmp_path / "model" / name).write_bytes(content)
    before = snapshot(tmp_path)
    result = download(NAME, "model")
    assert result.returncode == code
    assert message in result.stdout + result.stderr
    assert snapshot(tmp_path) == before
    assert server.starts == []


def test_configuration_of_the_archive_wins(download, server, our_config):
    config = dict(our_config, hidden_act="relu")
    files = dict(CHECKPOINT, **{"albert_config_tiny.json": json.dumps(config)})
    server.files["/zh/" + ARCHIVE] = make_zip(files)
    result = download(NAME, "model")
    assert result.returncode == 0
    assert result.stderr.startswith("warning: ./model/albert_config_tiny.json and ")
    assert result.stderr.endswith("differ in hidden_act; use the former.\n")
    assert "--bert_config_file=./model/albert_config_tiny.json\n" in result.stdout


def test_our_configuration_fills_in(download, server, repo_root):
    server.files["/zh/" + ARCHIVE] = make_zip(CHECKPOINT)
    result = download(NAME)
    assert "warning" in result.stderr
    path = os.path.join(repo_root, "albert_config", "albert_config_tiny.json")
    assert "--bert_config_file=%s\n" % path in result.stdout


def test_unknown_name_lists_the_names(download, server):
    result = download("albert_tiny")
    assert result.returncode == 2
    assert "'albert_tiny'" in result.stderr
    listed = download("--list").stdout
    assert result.stderr.endswith(listed)
    names = [line.split()[0] for line in listed.splitlines()[1:]]
    assert len(names) == len(set(names)) == 12
    assert NAME in names
    assert server.starts == []


def test_listed_configurations_exist(download, repo_root):
    listed = re.findall(r"albert_config/\S+", download("--list").stdout)
    assert len(listed) == 8
    assert all(os.path.isfile(os.path.join(repo_root, path)) for path in listed)


def test_missing_file_on_the_server(download, tmp_path):
    assert_refused(download(NAME, "model"), "could not be downloaded")
    assert snapshot(tmp_path) == {}


def test_unreachable_server(download, server, tmp_path):
    server.server_close()
    result = download(NAME, "model")
    assert_refused(result, "/zh/%s could not be downloaded (curl exit status 7)" % ARCHIVE)
    assert snapshot(tmp_path) == {}


def test_missing_curl(download, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("bash", "dirname", "tr"):
        (tools / tool).symlink_to(shutil.which(tool))
    assert_refused(download(NAME, PATH=str(tools)), "curl was not found")


def test_works_from_its_own_folder(repo_root):
    listed = subprocess.check_output(
        ["bash", "download_pretrained.sh", "--list"], cwd=os.path.join(repo_root, "scripts")
    )
    assert NAME.encode() in listed


@pytest.mark.parametrize("arguments", [(), (NAME, "a", "b")])
def test_usage(download, arguments):
    result = download(*arguments)
    assert result.returncode == 2
    assert "usage:" in result.stderr
