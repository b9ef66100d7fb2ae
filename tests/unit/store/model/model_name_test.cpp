#include "store/model/model_name.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace ollamafs::test {
namespace {

using ::testing::Optional;

// The table of docs/store-format.md §11. `v1` and `v2` are paths below manifests/ and
// manifests-v2/.
struct Row {
  std::string_view input, v1, v2, display;
};
constexpr std::string_view kShadow =
    "564173d7643e2428f2396787ad47953274beac4971cbb62668ad58419afcfcb1";

const std::vector<Row> kTable = {
    {"llama3.2", "registry.ollama.ai/library/llama3.2/latest", "ollama.com/library/llama3.2/latest",
     "llama3.2:latest"},
    {"llama3.2:3b-instruct-q4_K_M", "registry.ollama.ai/library/llama3.2/3b-instruct-q4_K_M",
     "ollama.com/library/llama3.2/3b-instruct-q4_K_M", "llama3.2:3b-instruct-q4_K_M"},
    {"mannix/llama3.1-8b-abliterated:tools",
     "registry.ollama.ai/mannix/llama3.1-8b-abliterated/tools",
     "ollama.com/mannix/llama3.1-8b-abliterated/tools", "mannix/llama3.1-8b-abliterated:tools"},
    {"me/my.model", "registry.ollama.ai/me/my.model/latest", "ollama.com/me/my.model/latest",
     "me/my.model:latest"},
    {"hf.co/bartowski/Llama-3.2-3B-Instruct-GGUF:Q4_K_M",
     "hf.co/bartowski/Llama-3.2-3B-Instruct-GGUF/Q4_K_M",
     "hf.co/bartowski/Llama-3.2-3B-Instruct-GGUF/Q4_K_M",
     "hf.co/bartowski/Llama-3.2-3B-Instruct-GGUF:Q4_K_M"},
    {"hf.co/bartowski/Llama-3.2-3B-Instruct-GGUF",
     "hf.co/bartowski/Llama-3.2-3B-Instruct-GGUF/latest",
     "hf.co/bartowski/Llama-3.2-3B-Instruct-GGUF/latest",
     "hf.co/bartowski/Llama-3.2-3B-Instruct-GGUF:latest"},
    {"huggingface.co/unsloth/Qwen3-8B-GGUF:UD-Q4_K_XL",
     "huggingface.co/unsloth/Qwen3-8B-GGUF/UD-Q4_K_XL",
     "huggingface.co/unsloth/Qwen3-8B-GGUF/UD-Q4_K_XL",
     "huggingface.co/unsloth/Qwen3-8B-GGUF:UD-Q4_K_XL"},
    {"192.168.1.5:5000/library/phi4:14b", "192.168.1.5:5000/library/phi4/14b",
     "192.168.1.5%3A5000/library/phi4/14b", "192.168.1.5:5000/library/phi4:14b"},
    {"http://192.168.1.5:5000/library/phi4:14b", "192.168.1.5:5000/library/phi4/14b",
     "192.168.1.5%3A5000/library/phi4/14b", "192.168.1.5:5000/library/phi4:14b"},
    {"localhost:5000/me/tiny", "localhost:5000/me/tiny/latest", "localhost%3A5000/me/tiny/latest",
     "localhost:5000/me/tiny:latest"},
    {"registry.example.com/team/m", "registry.example.com/team/m/latest",
     "registry.example.com/team/m/latest", "registry.example.com/team/m:latest"},
    {"ollama.com/library/llama3.2:3b", "ollama.com/library/llama3.2/3b",
     "ollama.com/library/llama3.2/3b", "llama3.2:3b"},
    {"REGISTRY.ollama.ai/Library/Foo:Bar", "REGISTRY.ollama.ai/Library/Foo/Bar",
     "ollama.com/Library/Foo/Bar", "Foo:Bar"},
    {"gpt-oss:120b-cloud", "registry.ollama.ai/library/gpt-oss/120b-cloud",
     "ollama.com/library/gpt-oss/120b-cloud", "gpt-oss:120b-cloud"},
    {"glm-4.6:cloud", "registry.ollama.ai/library/glm-4.6/cloud",
     "ollama.com/library/glm-4.6/cloud", "glm-4.6:cloud"},
    {"_x/_y:_z", "registry.ollama.ai/_x/_y/_z", "ollama.com/_x/_y/_z", "_x/_y:_z"},
    {"model:v1.0.", "registry.ollama.ai/library/model/v1.0.", "ollama.com/library/model/v1.0.",
     "model:v1.0."},
};

std::optional<ModelName> from_v2_path(std::string_view path) {
  std::array<std::string_view, 4> parts;
  for (std::string_view& part : parts) {
    part = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(path.size(), part.size() + 1));
  }
  return ModelName::from_v2_parts(parts[0], parts[1], parts[2], parts[3]);
}

ModelName name_of(std::string_view text) {
  auto name = ModelName::parse(text);
  if (!name) throw std::invalid_argument{std::string{text}};
  return *name;
}

TEST(ModelName, LivesWhereOllamaKeepsIt) {
  for (const Row& row : kTable) {
    const auto name = ModelName::parse(row.input);
    ASSERT_TRUE(name) << row.input;
    EXPECT_EQ(name->v1_path(), row.v1) << row.input;
  }
}

TEST(ModelName, IsShownAsOllamaShowsIt) {
  for (const Row& row : kTable) EXPECT_EQ(name_of(row.input).display(), row.display) << row.input;
}

TEST(ModelName, LivesWhereNewerOllamaKeepsIt) {
  for (const Row& row : kTable) EXPECT_EQ(name_of(row.input).v2_path(), row.v2) << row.input;
}

// Both trees may hold a model: the paths must lead to one and the same name.
TEST(ModelName, IsTheSameInTheNewerTree) {
  for (const Row& row : kTable) {
    const auto name = from_v2_path(row.v2);
    ASSERT_TRUE(name) << row.v2;
    EXPECT_EQ(name->logical_name(), name_of(row.input).logical_name()) << row.input;
    EXPECT_EQ(name->display(), row.display) << row.input;
  }
}

TEST(ModelName, CanBeTypedAsItIsShown) {
  for (const Row& row : kTable) {
    EXPECT_EQ(name_of(row.display).display(), row.display);
    EXPECT_THAT(ModelName::parse(name_of(row.input).full()), Optional(name_of(row.input)));
  }
}

TEST(ModelName, KeepsAPortInTheHost) {
  const ModelName name = name_of("192.168.1.5:5000/library/phi4:14b");
  EXPECT_EQ(name.host(), "192.168.1.5:5000");
  EXPECT_EQ(name.name_space(), "library");
  EXPECT_EQ(name.model(), "phi4");
  EXPECT_EQ(name.tag(), "14b");
}

// The tag of GGUF conversion is a valid name, so whoever lists tags has to hide it.
TEST(ModelName, HasNoObjectionToAShadowTag) {
  EXPECT_EQ(name_of("llamacpp:" + std::string{kShadow}).v1_path(),
            "registry.ollama.ai/library/llamacpp/" + std::string{kShadow});
}

TEST(ModelName, RefusesWhatOllamaRefuses) {
  for (const std::string_view text : {
           "a.b/c:d",  // a dot in the namespace
           "a/b/c/d:e",
           "foo:",
           "foo:bar:baz",
           "foo:bar/baz",
           "-foo",
           ".hidden",
           "a:..",
           "foo bar",
           "foo@sha256",
           "\xC3\xBC"
           "ber",
           "/foo",
           "host:5000/model:tag",  // two parts are always namespace and model
           "[::1]:5000/library/m:t",
           "",
           ":",
           "/",
           ":tag",
           "a/",
           "a//b",
           "..",
           "../a",
           "a:.b",
           "a:-b",
           "a+b",
           "a%3Ab",
           "a\nb",
           "http://host/model",
       }) {
    EXPECT_FALSE(ModelName::parse(text)) << text;
  }
  EXPECT_FALSE(ModelName::parse(std::string_view{"a\0b", 3}));
}

TEST(ModelName, MayHaveDotsInsideButNotBefore) {
  EXPECT_TRUE(ModelName::parse("a..b:v1.."));
  EXPECT_FALSE(ModelName::parse("..a"));
  EXPECT_TRUE(ModelName::from_parts("a..b.", "n", "m", "t"));
  EXPECT_FALSE(ModelName::from_parts(".b", "n", "m", "t"));
}

TEST(ModelName, HasPartsOfUpTo80Bytes) {
  const std::string longest(80, 'y'), longer(81, 'y');
  EXPECT_TRUE(ModelName::parse("x/" + longest + ":z"));
  EXPECT_FALSE(ModelName::parse("x/" + longer + ":z"));
  EXPECT_TRUE(ModelName::parse(longest + "/m:z"));
  EXPECT_FALSE(ModelName::parse(longer + "/m:z"));
  EXPECT_TRUE(ModelName::parse("m:" + longest));
  EXPECT_FALSE(ModelName::parse("m:" + longer));
}

TEST(ModelName, HasAHostOfUpTo350Bytes) {
  EXPECT_TRUE(ModelName::from_parts(std::string(350, 'h'), "n", "m", "t"));
  EXPECT_FALSE(ModelName::from_parts(std::string(351, 'h'), "n", "m", "t"));
}

// Every byte in every part, first and later, against the table of docs/store-format.md §2.
TEST(ModelName, HasExactlyTheGrammarsBytes) {
  const auto word = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  const std::array<std::string_view, 4> more = {"-.:", "-", "-.", "-."};
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    for (std::size_t part = 0; part < 4; ++part) {
      std::array<std::string, 4> parts = {"h", "n", "m", "t"};
      const auto valid = [&] {
        return ModelName::from_parts(parts[0], parts[1], parts[2], parts[3]).has_value();
      };
      parts[part] = c;
      EXPECT_EQ(valid(), word(c)) << "byte " << byte << " begins part " << part;
      parts[part] = std::string{"a"} + c;
      EXPECT_EQ(valid(), word(c) || more[part].find(c) != std::string_view::npos)
          << "byte " << byte << " in part " << part;
    }
  }
}

TEST(ModelNameV2, ReadsEitherCaseOfTheEscapedColon) {
  const auto name = ModelName::from_parts("localhost:5000", "me", "tiny", "q4");
  ASSERT_TRUE(name);
  EXPECT_EQ(from_v2_path("localhost%3A5000/me/tiny/q4"), name);
  EXPECT_EQ(from_v2_path("localhost%3a5000/me/tiny/q4"), name);
}

TEST(ModelNameV2, EscapesNothingButTheHostsColon) {
  EXPECT_FALSE(from_v2_path("host%2Fx/me/tiny/q4"));
  EXPECT_FALSE(from_v2_path("%3A5000/me/tiny/q4"));  // would begin with the colon
  EXPECT_FALSE(from_v2_path("host/me/tiny%3Ax/q4"));
  EXPECT_FALSE(from_v2_path("host/me/tiny/q4%3A"));
}

TEST(ModelNameV2, KnowsThePublicRegistryInEitherNameAndAnyCase) {
  const ModelName name = name_of("llama3.2:3b");
  for (const std::string host :
       {"ollama.com", "OLLAMA.com", "registry.ollama.ai", "Registry.Ollama.AI"}) {
    EXPECT_THAT(from_v2_path(host + "/library/llama3.2/3b"), Optional(name)) << host;
  }
  EXPECT_NE(from_v2_path("ollama.com.evil.org/library/llama3.2/3b"), name);
}

TEST(ModelName, IsOneModelUnderBothNamesOfThePublicRegistry) {
  const ModelName name = name_of("llama3.2:3b");
  EXPECT_EQ(name_of("ollama.com/library/llama3.2:3b").logical_name(), name.logical_name());
  EXPECT_EQ(name_of("REGISTRY.ollama.ai/library/llama3.2:3b").logical_name(), name.logical_name());
  EXPECT_NE(name_of("hf.co/library/llama3.2:3b").logical_name(), name.logical_name());
  // A namespace in another case is another folder.
  EXPECT_NE(name_of("Library/llama3.2:3b").logical_name(), name.logical_name());
}

// hf.co and huggingface.co are one site, but two models to Ollama.
TEST(ModelName, TakesOnlyThePublicRegistrysTwoNamesForOne) {
  EXPECT_TRUE(name_of("llama3.2").is_public());
  EXPECT_TRUE(name_of("OLLAMA.COM/library/llama3.2").is_public());
  EXPECT_FALSE(name_of("hf.co/library/llama3.2").is_public());
  EXPECT_FALSE(name_of("ollama.com:443/library/llama3.2").is_public());
  EXPECT_NE(name_of("hf.co/a/b").logical_name(), name_of("huggingface.co/a/b").logical_name());
}

TEST(ModelName, IsCanonicalIfNothingElseIsShownAlike) {
  EXPECT_TRUE(name_of("llama3.2").is_canonical());
  EXPECT_TRUE(name_of("Me/Model:Tag").is_canonical());
  EXPECT_TRUE(name_of("hf.co/Library/x").is_canonical());
  EXPECT_FALSE(name_of("Library/llama3.2").is_canonical());
  EXPECT_FALSE(name_of("ollama.com/library/llama3.2").is_canonical());
  EXPECT_FALSE(name_of("Registry.ollama.ai/me/x").is_canonical());
}

TEST(ViewName, HasNoColon) {
  EXPECT_EQ(view_name("deepseek-r1:8b"), "deepseek-r1+8b");
  EXPECT_EQ(view_name("mannix/tiny:q4"), "mannix/tiny+q4");
  EXPECT_EQ(view_name("hf.co/bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M"),
            "hf.co/bartowski/Llama-3.2-1B-Instruct-GGUF+Q4_K_M");
  EXPECT_EQ(view_name("192.168.1.5:5000/library/phi4:14b"), "192.168.1.5%3A5000/library/phi4+14b");
  EXPECT_EQ(view_name("a:b:c/n/m:t"), "a%3Ab%3Ac/n/m+t");
}

// Only the last component of a model's path has a '+': a folder with one is a model.
TEST(ViewName, MarksModelsByAPlus) {
  for (const Row& row : kTable) {
    const std::string shown = view_name(row.display);
    ASSERT_EQ(std::ranges::count(shown, '+'), 1) << shown;
    EXPECT_EQ(shown.find('/', shown.find('+')), std::string::npos) << shown;
    EXPECT_EQ(shown.find(':'), std::string::npos) << shown;
  }
}

}  // namespace
}  // namespace ollamafs::test
