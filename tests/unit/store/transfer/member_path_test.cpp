#include "store/transfer/member_path.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ollamafs::test {
namespace {

const std::string kHex(64, 'a');

std::string model_of(const std::string& path) {
  const MemberPath member = read_member_path(path);
  if (!member.model) return "none";
  return (member.tree == TreeKind::v1 ? "v1 " : "v2 ") + member.model->full();
}

TEST(MemberPathTest, KnowsBlobsInEverySpellingAndBelowAnyFolder) {
  for (const std::string& name : std::vector<std::string>{"sha256-", "sha256:"}) {
    for (const std::string& folder : std::vector<std::string>{"", "./", "top/", "a/b/c/", "/"}) {
      const MemberPath member = read_member_path(folder + "blobs/" + name + kHex);
      ASSERT_TRUE(member.blob) << folder << name;
      EXPECT_EQ(member.blob->hex(), kHex);
      EXPECT_FALSE(member.model);
    }
  }
}

TEST(MemberPathTest, TakesNothingElseForABlob) {
  for (const std::string& path : std::vector<std::string>{
           "sha256-" + kHex, "blob/sha256-" + kHex, "blobs/sha256-" + kHex + "-partial",
           "blobs/sha256-" + kHex + "/x", "blobs/sha256-" + kHex.substr(1),
           "blobs/._sha256-" + kHex, "xblobs/sha256-" + kHex, std::string{}, std::string{"/"}}) {
    EXPECT_FALSE(read_member_path(path).blob) << path;
  }
}

TEST(MemberPathTest, KnowsManifestsOfBothTrees) {
  EXPECT_EQ(model_of("manifests/registry.ollama.ai/library/m/t"),
            "v1 registry.ollama.ai/library/m:t");
  EXPECT_EQ(model_of("top/manifests/hf.co/a/b/c"), "v1 hf.co/a/b:c");
  EXPECT_EQ(model_of("manifests-v2/ollama.com/library/m/t"), "v2 registry.ollama.ai/library/m:t");
  EXPECT_EQ(model_of("manifests-v2/host%3A5000/a/b/c"), "v2 host:5000/a/b:c");
  EXPECT_EQ(model_of("manifests/host%3A5000/a/b/c"), "v1 host:5000/a/b:c");
  EXPECT_EQ(model_of("manifests/host:5000/a/b/c"), "v1 host:5000/a/b:c");
  // A model that is called "blobs".
  EXPECT_EQ(model_of("manifests/h/n/blobs/sha256-" + kHex), "v1 h/n/blobs:sha256-" + kHex);
}

TEST(MemberPathTest, TakesNothingElseForAManifest) {
  for (const std::string& path :
       std::vector<std::string>{"manifests/h/n/m", "manifests/h/n/m/t/x", "manifests/h/n.n/m/t",
                                "manifests/h/n/m/.DS_Store", "manifest/h/n/m/t", "h/n/m/t"}) {
    EXPECT_EQ(model_of(path), "none") << path;
  }
}

TEST(MemberPathTest, KnowsWhatLeadsOut) {
  for (const char* const path : {"/a", "..", "../a", "a/..", "a/../b", "./.."}) {
    EXPECT_TRUE(leads_out(path)) << path;
  }
  for (const char* const path : {"", ".", "./a", "a/b", "..a", "a..", "a/...", "a//b"}) {
    EXPECT_FALSE(leads_out(path)) << path;
  }
}

TEST(MemberPathTest, KnowsTheLinksOfTags) {
  EXPECT_TRUE(manifest_behind("../../../../blobs/sha256-" + kHex));
  for (const std::string& target : std::vector<std::string>{
           "/blobs/sha256-" + kHex, "../../../blobs/sha256-" + kHex, "blobs/sha256-" + kHex,
           "../../../../blobs/sha256-" + kHex + "/", std::string{"../../../../blobs/x"}}) {
    EXPECT_FALSE(manifest_behind(target)) << target;
  }
}

}  // namespace
}  // namespace ollamafs::test
