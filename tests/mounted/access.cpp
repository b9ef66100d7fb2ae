#include "tests/mounted/access.h"

#include <gmock/gmock.h>

#include <sstream>

#include "tests/mounted/mount.h"

namespace ollamafs::test {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

fs::path NewOver::written(const std::string& content, const char* mode) const {
  write_file(dir_ / "file", content);
  must({"chmod", mode, (dir_ / "file").string()});
  return dir_ / "file";
}

Result Reader::runs(const Words& command) const {
  const User who = User::named(user);
  Words line = {"setpriv", "--reuid", std::to_string(who.uid), "--regid", std::to_string(who.gid)};
  line.push_back(group.empty() ? "--clear-groups" : "--groups=" + group);
  line.push_back("--");
  line.insert(line.end(), command.begin(), command.end());
  return run(line);
}

void expect_reads(const Reader& reader, const fs::path& view) {
  SCOPED_TRACE(reader.user + " " + reader.group);
  const Result sums =
      reader.runs({"find", view.string(), "-type", "f", "-exec", "sha256sum", "{}", "+"});
  EXPECT_EQ(sums.status, 0) << sums.err;
  std::size_t blobs = 0;
  std::istringstream lines{sums.out};
  for (std::string hash, path; lines >> hash >> path;) {
    const std::string name = fs::path{path}.filename();
    if (!name.starts_with("sha256-") || path.find("/models/") == path.npos) continue;
    EXPECT_EQ(name, "sha256-" + hash);
    ++blobs;
  }
  EXPECT_EQ(blobs, 4u);  // of the one model
  EXPECT_THAT(sums.out, HasSubstr("/archives/llama3.2+3b.tar"));
}

void expect_denied(const Reader& reader, const fs::path& view) {
  SCOPED_TRACE(reader.user + " " + reader.group);
  for (const Words& command :
       {Words{"ls", view.string()}, Words{"cat", (view / "README.txt").string()},
        Words{"cat", (view / "archives/llama3.2+3b.tar").string()},
        Words{"ls", (view / "models/llama3.2+3b/blobs").string()}}) {
    const Result result = reader.runs(command);
    EXPECT_NE(result.status, 0) << command.back();
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, HasSubstr("Permission denied"));
  }
}

std::string owner_and_mode(const fs::path& path) {
  std::string said = must({"stat", "-c", "%U:%G %a", path.string()});
  said.pop_back();
  return said;
}

void Access::give_store(const std::string& owner, const char* mode) const {
  must({"chown", "-R", owner, store_.root().string()});
  must({"chmod", mode, store_.root().string()});
}

fs::path Access::weights() const {
  return store_.blob_path(*Digest::parse(model_.layers[0].digest));
}

void Access::move_weights(const fs::path& target) const {
  fs::create_directories(target.parent_path());
  fs::rename(weights(), target);
  fs::create_symlink(target, weights());
}

Result Access::mount_as(const Reader& reader, const fs::path& place, const Words& options) const {
  Words command = {binary(), "mount", "--store", store_.root().string(), place.string()};
  command.insert(command.end(), options.begin(), options.end());
  return reader.runs(command);
}

}  // namespace ollamafs::test
