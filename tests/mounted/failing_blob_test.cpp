// Models that are whole when they are mounted and whose blobs fail later, before a tool copies them
// or while it does: no tool gets the manifest, and from then on the model is broken.
#include <gmock/gmock.h>

#include <cerrno>
#include <filesystem>
#include <string>

#include "tests/mounted/broken_model.h"
#include "tests/mounted/life.h"
#include "tests/mounted/mount.h"
#include "tests/mounted/shown.h"
#include "tests/mounted/ssh_server.h"
#include "tests/support/process.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// As where changes cannot be seen, long before it is looked for them: what these tests are about is
// found by reading alone.
const Mount::Options kUnwatched{.arguments = {"-o", "poll=86400"}};

// ---- before it is read ----

class ABlobThatFails : public ::testing::Test {
 protected:
  // After the failure the model is as if it had been broken from the start, and it is said once.
  void expect_broken_from_now_on(Mount& mount) {
    expect_broken(mount, "could not be read", store.blob().filename().string());
    EXPECT_EQ(count(mount.log(), store.blob().filename().string()), 1U) << mount.log();
    EXPECT_EQ(count(mount.log(), "error: "), 1U) << mount.log();
    EXPECT_EQ(attribute(mount / "models/good+v1", "state"), "whole");
  }

  TempDir dir;
  ThreeModels store{dir / "store"};
};

class ABlobThatFailsIn : public ABlobThatFails, public ::testing::WithParamInterface<Tool> {};

TEST_P(ABlobThatFailsIn, AToolKeepsTheManifestFromIt) {
  const SshServer server;
  Mount mount{store.builder.root(), kUnwatched};
  ASSERT_EQ(attribute(mount / "models/bad/one+v1", "state"), "whole");
  fs::resize_file(store.blob(), fs::file_size(store.blob()) - 1);
  const Result result = copy(GetParam(), mount / "models", dir / "copy", server.config());
  EXPECT_NE(result.status, 0);
  EXPECT_THAT(manifests_in(dir / "copy/models"), SizeIs(2));
  expect_good_copy(store, dir / "copy/models/good+v1");
  expect_broken_from_now_on(mount);
}

INSTANTIATE_TEST_SUITE_P(, ABlobThatFailsIn, ::testing::ValuesIn(kTools),
                         [](const auto& test) { return test.param.name; });

TEST_F(ABlobThatFails, IsOneThatWasRemoved) {
  Mount mount{store.builder.root(), kUnwatched};
  fs::remove(store.blob());
  EXPECT_EQ(opening_fails_with(mount / "models/bad/one+v1/blobs" / store.blob().filename()), EIO);
  expect_broken_from_now_on(mount);
}

TEST_F(ABlobThatFails, IsOneThatIsAnotherFileNow) {
  Mount mount{store.builder.root(), kUnwatched};
  write_file(dir / "new", read_file(store.blob()));
  fs::rename(dir / "new", store.blob());
  EXPECT_EQ(opening_fails_with(mount / "models/bad/one+v1/blobs" / store.blob().filename()), EIO);
  expect_broken_from_now_on(mount);
}

TEST_F(ABlobThatFails, BreaksAllWhoNameIt) {
  const fs::path shared = store.path_of(store.bad.layers[1]);
  Mount mount{store.builder.root(), kUnwatched};
  fs::resize_file(shared, 1);
  EXPECT_EQ(opening_fails_with(mount / "archives/good+v1.tar"), EIO);
  expect_broken(mount, "could not be read", shared.filename().string());
  for (const char* const model : {"models/good+v1", "models/me/other+v1"}) {
    EXPECT_TRUE(eventually([&] { return listing_fails_with(mount / model) == EIO; })) << model;
  }
  EXPECT_EQ(count(mount.log(), shared.filename().string()), 1U) << mount.log();
}

// ---- while it is read ----

// The blob loses its last byte when the tool has it open and has read a part of it: what the tool
// writes goes by way of a reader that takes 3 MB, cuts the blob, and takes the rest.
class ABlobThatFailsWhileItIsRead : public ABlobThatFails {
 protected:
  ABlobThatFailsWhileItIsRead() {
    store.weights() = store.builder.sparse_layer(kModelType, 64 << 20, 5);
    store.rewrite();
  }

  // $1: the model's directory; $2: where the copy goes; $3: the blob
  void expect_failure_of(const std::string& line) {
    Mount mount{store.builder.root(), kUnwatched};
    const Result result =
        run({"bash", "-o", "pipefail", "-c", line, "copy", (mount / "models/bad/one+v1").string(),
             (dir / "copy").string(), store.blob().string()});
    EXPECT_NE(result.status, 0);
    EXPECT_THAT(result.err, HasSubstr("Input/output error"));
    EXPECT_EQ(fs::file_size(store.blob()), (64U << 20) - 1);
    EXPECT_THAT(manifests_in(dir / "copy"), IsEmpty());
    expect_broken_from_now_on(mount);
  }
};

TEST_F(ABlobThatFailsWhileItIsRead, ByTar) {
  expect_failure_of(R"sh(
    mkdir "$2"
    tar -c -C "$1" . | { dd bs=64K count=3000000 iflag=count_bytes status=none; truncate -s -1 "$3"; cat; } | tar -x -C "$2")sh");
}

// cp writes into what is there: a FIFO in the place of the blob.
TEST_F(ABlobThatFailsWhileItIsRead, ByCp) {
  expect_failure_of(R"sh(
    mkdir -p "$2/blobs"
    fifo="$2/blobs/$(basename "$3")"
    mkfifo "$fifo"
    { dd bs=64K count=3000000 iflag=count_bytes status=none; truncate -s -1 "$3"; cat; } < "$fifo" > /dev/null &
    cp -r "$1/." "$2"
    status=$?
    wait
    exit $status)sh");
}

// rsync's way to the other machine leads through the reader.
TEST_F(ABlobThatFailsWhileItIsRead, ByRsync) {
  expect_failure_of(R"sh(
    export blob="$3"
    cut='dd bs=64K count=3000000 iflag=count_bytes status=none; truncate -s -1 "$blob"; cat'
    rsync -a -e "bash -c 'shift; exec \"\$@\" < <($cut)' way" "$1/" "target:$2/")sh");
}

}  // namespace
}  // namespace ollamafs::test
