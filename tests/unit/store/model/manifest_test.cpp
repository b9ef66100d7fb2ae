#include "store/model/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "store/base/text.h"

namespace ollamafs::test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Optional;
using ::testing::SizeIs;

// One layer, spelled as JSON.
constexpr std::string_view kLayer =
    R"({"mediaType":"application/vnd.ollama.image.model","digest":"sha256:aa","size":7})";

std::string with_layers(std::string_view layers) {
  return R"({"schemaVersion":2,"layers":)" + std::string{layers} + "}";
}

Manifest plain(std::string_view json) {
  return std::get<Manifest>(parse_manifest(json));
}

// Why `json` is not a manifest, or nothing if it is one.
std::optional<std::string> refusal(std::string_view json) {
  try {
    (void)parse_manifest(json);
    return std::nullopt;
  } catch (const ManifestError& error) {
    return error.what();
  }
}

// `depth` arrays, one in the other.
std::string nested(std::size_t depth) {
  return std::string(depth, '[') + std::string(depth, ']');
}

TEST(Manifest, IsReadFieldByField) {
  const Manifest manifest = plain(
      R"({"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",)"
      R"("config":{"mediaType":"application/vnd.docker.container.image.v1+json",)"
      R"("digest":"sha256:cc","size":486},"layers":[)"
      R"({"mediaType":"application/vnd.ollama.image.tensor","digest":"sha256-DD","size":9,)"
      R"("name":"model.norm.weight","from":"me/base:latest"}],"runner":"mlx","format":"safetensors"})");
  EXPECT_EQ(manifest.media_type, "application/vnd.docker.distribution.manifest.v2+json");
  EXPECT_EQ(manifest.runner, "mlx");
  EXPECT_EQ(manifest.config.digest, "sha256:cc");
  EXPECT_EQ(manifest.config.media_type, "application/vnd.docker.container.image.v1+json");
  EXPECT_EQ(manifest.config.size, 486);
  ASSERT_THAT(manifest.layers, SizeIs(1));
  EXPECT_EQ(manifest.layers[0].media_type, "application/vnd.ollama.image.tensor");
  EXPECT_EQ(manifest.layers[0].digest, "sha256-DD");  // as spelled
  EXPECT_EQ(manifest.layers[0].size, 9);
  EXPECT_EQ(manifest.layers[0].name, "model.norm.weight");
}

TEST(Manifest, KeepsItsLayersInOrder) {
  const Manifest manifest =
      plain(with_layers(R"([{"digest":"b"},{"digest":"a"},{"digest":"b"},{"digest":"c"}])"));
  ASSERT_THAT(manifest.layers, SizeIs(4));
  EXPECT_EQ(manifest.layers[0].digest + manifest.layers[1].digest + manifest.layers[2].digest +
                manifest.layers[3].digest,
            "babc");
}

// ---- as lenient as Ollama (docs/store-format.md §4) ----

TEST(Manifest, MayHaveFieldsThatNobodyKnows) {
  const Manifest manifest = plain(
      R"({"annotations":{"layers":[1,2],"config":"x","a":[[{"digest":3}]]},"x":1.5,"y":[null,true],)"
      R"("layers":[{"urls":["http://example.com"],"digest":"d","size":3,"platform":{"size":"big"}}]})");
  ASSERT_THAT(manifest.layers, SizeIs(1));
  EXPECT_EQ(manifest.layers[0].digest, "d");
  EXPECT_EQ(manifest.layers[0].size, 3);
}

TEST(Manifest, MaySpellItsKeysInAnyCase) {
  const Manifest manifest =
      plain(R"({"SchemaVersion":2,"MEDIATYPE":"m","Config":{"DIGEST":"c","Size":5},)"
            R"("Layers":[{"MediaType":"t","dIgEsT":"d","SIZE":6,"Name":"n"}],"Runner":"ggml"})");
  EXPECT_EQ(manifest.media_type, "m");
  EXPECT_EQ(manifest.runner, "ggml");
  EXPECT_EQ(manifest.config.digest, "c");
  EXPECT_EQ(manifest.config.size, 5);
  ASSERT_THAT(manifest.layers, SizeIs(1));
  EXPECT_EQ(manifest.layers[0].media_type, "t");
  EXPECT_EQ(manifest.layers[0].digest, "d");
  EXPECT_EQ(manifest.layers[0].size, 6);
  EXPECT_EQ(manifest.layers[0].name, "n");
}

// Cloud models have none: as null, as [], or no such field.
TEST(Manifest, MayHaveNoLayers) {
  const std::string config = R"("config":{"digest":"sha256:cc","size":316})";
  for (const std::string& json : {"{" + config + R"(,"layers":null})",
                                  "{" + config + R"(,"layers":[]})", "{" + config + "}"}) {
    const Manifest manifest = plain(json);
    EXPECT_THAT(manifest.layers, IsEmpty()) << json;
    EXPECT_EQ(manifest.config.digest, "sha256:cc") << json;
  }
}

TEST(Manifest, MayHaveNoConfig) {
  for (const std::string_view config :
       {R"()", R"("config":null,)", R"("config":{},)", R"("config":{"digest":"","size":0},)"}) {
    const Manifest manifest =
        plain("{" + std::string{config} + R"("layers":[)" + std::string{kLayer} + "]}");
    EXPECT_EQ(manifest.config.digest, "") << config;
    EXPECT_THAT(manifest.layers, SizeIs(1)) << config;
  }
}

TEST(Manifest, TakesMissingAndNullFieldsForEmptyOnes) {
  const Manifest manifest = plain(
      R"({"schemaVersion":null,"mediaType":null,"runner":null,)"
      R"("layers":[{},{"mediaType":null,"digest":null,"size":null,"name":null,"from":null},null]})");
  EXPECT_EQ(manifest.media_type, "");
  ASSERT_THAT(manifest.layers, SizeIs(3));
  for (const Layer& layer : manifest.layers) {
    EXPECT_EQ(layer.media_type, "");
    EXPECT_EQ(layer.digest, "");
    EXPECT_EQ(layer.size, 0);
    EXPECT_EQ(layer.name, "");
  }
}

TEST(Manifest, MayHaveAnyVersionAndMediaType) {
  EXPECT_THAT(plain(R"({"schemaVersion":99,"mediaType":"text/plain","layers":[]})").layers,
              IsEmpty());
  EXPECT_THAT(plain(R"({"schemaVersion":-1,"layers":[]})").layers, IsEmpty());
}

TEST(Manifest, TakesTheLastOfRepeatedKeys) {
  const Manifest manifest = plain(
      R"({"mediaType":"a","mediaType":"b","config":{"digest":"c1","digest":"c2","size":1,"SIZE":2},)"
      R"("layers":[{"digest":"d1"},{"digest":"d2"}],"layers":[{"digest":"d3"}]})");
  EXPECT_EQ(manifest.media_type, "b");
  EXPECT_EQ(manifest.config.digest, "c2");
  EXPECT_EQ(manifest.config.size, 2);
  ASSERT_THAT(manifest.layers, SizeIs(1));
  EXPECT_EQ(manifest.layers[0].digest, "d3");
}

// Go empties a slice for null: a model whose layers Ollama does not see has none here either.
TEST(Manifest, HasNoLayersIfTheLastOfThemIsNull) {
  EXPECT_THAT(plain(with_layers("[" + std::string{kLayer} + R"(],"layers":null)")).layers,
              IsEmpty());
}

TEST(Manifest, MayHoldBytesThatAreNotUtf8) {
  const Manifest manifest =
      plain(with_layers("[{\"name\":\"caf\xE9\",\"digest\":\"d\",\"size\":4}]"));
  ASSERT_THAT(manifest.layers, SizeIs(1));
  EXPECT_TRUE(is_valid_utf8(manifest.layers[0].name));
  EXPECT_TRUE(manifest.layers[0].name.starts_with("caf"));
  EXPECT_EQ(manifest.layers[0].size, 4);
}

TEST(Manifest, MayBeIndentedAndEndInNewlines) {
  EXPECT_THAT(plain(" \r\n\t{ \"layers\" : [ ]\n}\n \n").layers, IsEmpty());
}

TEST(Manifest, HasSizesOfUpTo63Bits) {
  EXPECT_EQ(plain(with_layers(R"([{"size":9223372036854775807}])")).layers[0].size, INT64_MAX);
  EXPECT_EQ(plain(with_layers(R"([{"size":-9223372036854775808}])")).layers[0].size, INT64_MIN);
  EXPECT_TRUE(refusal(with_layers(R"([{"size":9223372036854775808}])")));
  EXPECT_TRUE(refusal(with_layers(R"([{"size":-9223372036854775809}])")));
  EXPECT_TRUE(refusal(with_layers(R"([{"size":99999999999999999999999}])")));
}

// ---- and strict where Ollama is ----

TEST(Manifest, IsNotAnEmptyFile) {
  EXPECT_TRUE(refusal(""));
  EXPECT_TRUE(refusal(" \n"));
}

TEST(Manifest, IsNotAFileThatIsCutShort) {
  const std::string whole = with_layers("[" + std::string{kLayer} + "]");
  ASSERT_FALSE(refusal(whole));
  for (std::size_t size = 1; size < whole.size(); ++size) {
    const auto reason = refusal(whole.substr(0, size));
    ASSERT_TRUE(reason) << whole.substr(0, size);
    EXPECT_THAT(*reason, HasSubstr("cut short")) << whole.substr(0, size);
  }
}

TEST(Manifest, IsTheWholeFile) {
  const std::string whole = with_layers("[]");
  for (const std::string_view garbage : {"x", "{}", "}", ",", "\n{\"layers\":[]}", "\xFF"}) {
    EXPECT_TRUE(refusal(whole + std::string{garbage})) << printable(garbage);
  }
}

// A file system that lost power may leave zeros behind, or nothing else.
TEST(Manifest, IsNotFollowedByNuls) {
  const std::string whole = with_layers("[]");
  EXPECT_TRUE(refusal(whole + std::string(1, '\0')));
  EXPECT_TRUE(refusal(whole + std::string(100, '\0')));
  EXPECT_TRUE(refusal(whole + std::string{"\0garbage", 8}));
  EXPECT_TRUE(refusal(std::string(4096, '\0')));
}

TEST(Manifest, BeginsWithoutAByteOrderMark) {
  EXPECT_THAT(refusal("\xEF\xBB\xBF" + with_layers("[]")), Optional(HasSubstr("byte order mark")));
}

TEST(Manifest, IsAnObject) {
  for (const std::string_view json : {"null", "true", "7", "-1", "1.5", "99999999999999999999",
                                      "\"layers\"", "[]", "[{\"layers\":[]}]"}) {
    EXPECT_TRUE(refusal(json)) << json;
  }
}

TEST(Manifest, NamesSomething) {
  EXPECT_TRUE(refusal("{}"));
  EXPECT_TRUE(refusal(R"({"schemaVersion":2,"mediaType":"application/json"})"));
  EXPECT_TRUE(refusal(R"({"errors":[{"code":"MANIFEST_UNKNOWN"}]})"));
}

TEST(Manifest, IsJson) {
  for (const std::string_view json :
       {"<html>", "{layers:[]}", "{'layers':[]}", R"({"layers":[],})", R"({"layers":[]"a":1})",
        R"({"layers":[// none
        ]})",
        R"({"layers":NaN})", "{\"layers\":[{\"digest\":\"a\nb\"}]}",
        R"({"layers":[{"size":01}]})"}) {
    EXPECT_TRUE(refusal(json)) << json;
  }
}

// Every known field with every kind of value that it does not take, in what else is a manifest.
TEST(Manifest, HasFieldsOfTheRightType) {
  struct Field {
    std::string_view before, after;
    std::string_view wrong[6];
  };
  const Field fields[] = {
      {R"({"layers":[],"schemaVersion":)", "}", {"\"2\"", "2.0", "true", "[]", "{}", "1e1"}},
      {R"({"layers":[],"mediaType":)", "}", {"1", "1.5", "true", "[]", "{}", "-1"}},
      {R"({"layers":[],"runner":)", "}", {"1", "1.5", "false", "[]", "{}", "-1"}},
      {R"({"layers":[],"format":)", "}", {"1", "1.5", "false", "[]", "{}", "-1"}},
      {R"({"layers":[],"config":)", "}", {"1", "1.5", "true", "[]", "\"c\"", "[{}]"}},
      {R"({"config":{"mediaType":)", "}}", {"1", "1.5", "true", "[]", "{}", "-1"}},
      {R"({"config":{"digest":)", "}}", {"1", "1.5", "true", "[]", "{}", "-1"}},
      {R"({"config":{"size":)", "}}", {"\"1\"", "1.5", "true", "[]", "{}", "1e3"}},
      {R"({"config":{},"layers":)", "}", {"1", "1.5", "true", "{}", "\"l\"", "-1"}},
      {R"({"layers":[)", "]}", {"1", "1.5", "true", "[]", "\"l\"", "[{}]"}},
      {R"({"layers":[{"mediaType":)", "}]}", {"1", "1.5", "true", "[]", "{}", "-1"}},
      {R"({"layers":[{"digest":)", "}]}", {"1", "1.5", "true", "[]", "{}", "-1"}},
      {R"({"layers":[{"size":)", "}]}", {"\"1\"", "1.5", "true", "[]", "{}", "1e3"}},
      {R"({"layers":[{"name":)", "}]}", {"1", "1.5", "true", "[]", "{}", "-1"}},
      {R"({"layers":[{"from":)", "}]}", {"1", "1.5", "true", "[]", "{}", "-1"}},
      {R"({"layers":[],"manifests":)", "}", {"1", "1.5", "true", "{}", "\"m\"", "-1"}},
      {R"({"manifests":[)", "]}", {"1", "1.5", "true", "[]", "\"m\"", "[{}]"}},
      {R"({"manifests":[{"mediaType":)", "}]}", {"1", "1.5", "true", "[]", "{}", "-1"}},
      {R"({"manifests":[{"digest":)", "}]}", {"1", "1.5", "true", "[]", "{}", "-1"}},
      {R"({"manifests":[{"runner":)", "}]}", {"1", "1.5", "true", "[]", "{}", "-1"}},
      {R"({"manifests":[{"format":)", "}]}", {"1", "1.5", "true", "[]", "{}", "-1"}},
  };
  for (const Field& field : fields) {
    for (const std::string_view value : field.wrong) {
      const std::string json =
          std::string{field.before} + std::string{value} + std::string{field.after};
      EXPECT_TRUE(refusal(json)) << json;
    }
  }
}

TEST(Manifest, NamesTheFieldThatIsWrong) {
  EXPECT_THAT(refusal(R"({"layers":[{"size":"7"}]})"), Optional(HasSubstr("\"size\"")));
  EXPECT_THAT(refusal(R"({"config":[]})"), Optional(HasSubstr("\"config\"")));
  EXPECT_THAT(refusal(R"({"layers":[{"digest":"d","size":1},5]})"),
              Optional(HasSubstr("\"layers\"")));
}

// The reason goes to terminals and logs, and the key is the manifest's own.
TEST(Manifest, IsRefusedInOnePrintableLine) {
  for (
      const std::string_view json : {
          R"({"layers":[{"\u001b[31m\n":1},5]})",
          R"({"manifests":[{"\u009b31m\u0007":1},[]]})",
          R"({"layers":[{"0123456789012345678901234567890123456789012345678901234567890123ü":1},5]})",
          R"({"layers":[{"012345678901234567890123456789012345678901234567890123456789012ü":1},5]})",
      }) {
    const auto reason = refusal(json);
    ASSERT_TRUE(reason) << json;
    EXPECT_TRUE(is_valid_utf8(*reason)) << json;
    EXPECT_EQ(printable(*reason), *reason) << json;
  }
}

TEST(Manifest, IsNestedAsDeepAsOllamaReads) {
  const auto in_a_field = [](std::size_t depth) {
    return R"({"layers":[],"x":)" + nested(depth - 1) + "}";
  };
  EXPECT_FALSE(refusal(in_a_field(10'000)));
  EXPECT_THAT(refusal(in_a_field(10'001)), Optional(HasSubstr("nested deeper")));
}

TEST(Manifest, MayNotExhaustTheStack) {
  EXPECT_TRUE(refusal(nested(100'000)));
  EXPECT_TRUE(refusal(R"({"x":)" + nested(100'000) + "}"));
  EXPECT_TRUE(refusal(with_layers(nested(100'000))));
  EXPECT_TRUE(refusal(std::string(100'000, '{')));
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += R"({"layers":)";
  EXPECT_TRUE(refusal(objects));
}

TEST(Manifest, HasAtMost16MiB) {
  const std::string json = with_layers("[]");
  const auto padded = [&](std::size_t size) { return json + std::string(size - json.size(), ' '); };
  EXPECT_FALSE(refusal(padded(kMaxManifestBytes)));
  EXPECT_TRUE(refusal(padded(kMaxManifestBytes + 1)));
}

TEST(Manifest, MayHaveTenThousandLayersAndMore) {
  const auto objects = [](std::size_t count) {
    std::string list = "[{}";
    for (std::size_t i = 1; i < count; ++i) list += ",{}";
    return list + "]";
  };
  EXPECT_THAT(plain(with_layers(objects(10'000))).layers, SizeIs(10'000));
  EXPECT_THAT(plain(with_layers(objects(kMaxLayers))).layers, SizeIs(kMaxLayers));
  EXPECT_THAT(refusal(with_layers(objects(kMaxLayers + 1))),
              Optional(HasSubstr("more than 65536 layers")));
  EXPECT_THAT(refusal(R"({"manifests":)" + objects(kMaxLayers + 1) + "}"),
              Optional(HasSubstr("more than 65536 manifests")));
}

}  // namespace
}  // namespace ollamafs::test
