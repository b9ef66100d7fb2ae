// What real servers printed (tests/fixtures/show), and models of which something is not there.
#include "store/describe/description.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <regex>
#include <sstream>
#include <string>

#include "store/base/unique_fd.h"
#include "store/catalog/model_query.h"
#include "store/describe/modelfile.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/real_store.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::string modelfile_of(const std::filesystem::path& store, const Model& model,
                         const ModelParts& parts) {
  return modelfile(model, parts, [&](const StoredLayer& layer, std::size_t) {
    return (store / layer.digest->blob_path()).string();
  });
}

// ---- what real servers printed ----

std::vector<std::string> sorted_lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in{text};
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  std::ranges::sort(lines);
  return lines;
}

std::string expected(const std::string& name) {
  return read_file(std::filesystem::path{OLLAMAFS_FIXTURES} / "show" / (name + ".txt"));
}

// The fixtures' weights are empty; these are the headers that they had, as far as it matters.
void put_header(const StoreBuilder& store, const Weights& weights, const GgufBuilder& gguf) {
  const std::string path = store.root() / "blobs" / ("sha256-" + std::string{weights.hex});
  const UniqueFd fd{::open(path.c_str(), O_WRONLY | O_CLOEXEC)};
  const std::string bytes = gguf.bytes();
  ASSERT_EQ(::pwrite(fd.get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
}

GgufBuilder llama_header() {
  return GgufBuilder{}
      .text("general.architecture", "llama")
      .number("llama.context_length", 512)
      .number("llama.embedding_length", 256);
}

class RealModel : public testing::TestWithParam<const char*> {
 protected:
  // "v1_mannix_tiny_q4" is mannix/tiny:q4 of the first store.
  RealModel() {
    const std::string param = GetParam();
    const bool is_v1 = param.starts_with("v1_");
    (is_v1 ? unpack_real_store_v1 : unpack_real_store_v2)(dir_ / "models");
    const StoreBuilder builder{dir_ / "models"};
    put_header(builder, kTiny, llama_header());
    put_header(builder, is_v1 ? kChatty : kPlain, llama_header());
    if (!is_v1) {
      put_header(builder, kProjector,
                 GgufBuilder{}
                     .text("general.architecture", "clip")
                     .number("clip.vision.embedding_length", 64)
                     .tensor("a", {256, 256}));
    }
    store_.emplace(dir_ / "models", OutsideLinks::refuse);
    catalog_ = Catalog::read(*store_);
    std::string name = param.substr(3);
    name[name.rfind('_')] = ':';
    std::ranges::replace(name, '_', '/');
    model_ = find_model(*catalog_, name);
  }

  TempDir dir_;
  std::optional<StoreDir> store_;
  std::shared_ptr<const Catalog> catalog_;
  const Model* model_ = nullptr;
};

class ShownModel : public RealModel {};

// But for capabilities, which these configs do not state.
TEST_P(ShownModel, IsDescribedAsOllamaDescribesIt) {
  ASSERT_NE(model_, nullptr);
  const Description description = describe(*store_, *model_);
  EXPECT_THAT(description.parts.gaps, IsEmpty());
  const std::string text = std::regex_replace(expected(std::string{"show_"} + GetParam()),
                                              std::regex{"  Capabilities\n(.+\n)+\n"}, "");
  EXPECT_EQ(sorted_lines(description_text(description)), sorted_lines(text));
}

TEST_P(RealModel, HasTheModelfileThatOllamaPrints) {
  ASSERT_NE(model_, nullptr);
  const ModelParts parts = read_model_parts(*store_, *model_);
  EXPECT_EQ(sorted_lines(modelfile_of("/models", *model_, parts) + "\n"),
            sorted_lines(expected(std::string{"modelfile_"} + GetParam())));
}

constexpr const char* kShown[] = {"v1_chatty_latest",  "v1_mannix_tiny_q4", "v2_chatty_latest",
                                  "v2_derived_latest", "v2_plain_latest",   "v2_vision_latest"};
constexpr const char* kAll[] = {"v1_chatty_latest",  "v1_mannix_tiny_q4", "v2_chatty_latest",
                                "v2_derived_latest", "v2_lora_latest",    "v2_plain_latest",
                                "v2_vision_latest"};
const auto name_of = [](const auto& info) { return std::string{info.param}; };
INSTANTIATE_TEST_SUITE_P(Each, ShownModel, testing::ValuesIn(kShown), name_of);
INSTANTIATE_TEST_SUITE_P(Each, RealModel, testing::ValuesIn(kAll), name_of);

TEST(Parameters, AreListedAsOllamaListsThem) {
  const auto parameters = parse_parameters(
      {R"({"num_ctx":256,"stop":["\u003c|user|\u003e","\u003c|sys|\u003e"],"temperature":0.7})"});
  EXPECT_EQ(sorted_lines(parameter_lines(parameters)),
            sorted_lines(expected("parameters_v1_chatty_latest")));
}

TEST(Parameters, AreMergedKeyByKey) {
  const auto parameters = parse_parameters({R"({"a":1,"b":[1,2]})", R"({"b":[1048576],"c":true})"});
  EXPECT_THAT(parameters,
              ElementsAre(Parameter{"a", "1", "1"}, Parameter{"b", "1.048576e+06", "1048576"},
                          Parameter{"c", "true", "true"}));
  EXPECT_THROW((void)parse_parameters({"[]"}), ParametersError);
  EXPECT_THROW((void)parse_parameters({"{"}), ParametersError);
  EXPECT_THROW((void)parse_parameters({R"({"a":)" + std::string(100000, '[')}), ParametersError);
}

// ---- made-up models ----

class DescribedModel : public testing::Test {
 protected:
  const Model& store(const ManifestSpec& manifest) {
    store_.v1("m:a", manifest);
    dir_of_store_.emplace(store_.root(), OutsideLinks::refuse);
    catalog_ = Catalog::read(*dir_of_store_);
    return catalog_->models().front();
  }
  [[nodiscard]] std::string text(const Model& model) const {
    return description_text(describe(*dir_of_store_, model));
  }
  [[nodiscard]] std::string modelfile_text(const Model& model) const {
    return modelfile_of("/models", model, read_model_parts(*dir_of_store_, model));
  }

  TempDir dir_;
  StoreBuilder store_{dir_ / "models"};
  std::optional<StoreDir> dir_of_store_;
  std::shared_ptr<const Catalog> catalog_;
};

TEST_F(DescribedModel, IsACloudModelByItsConfig) {
  ManifestSpec manifest;
  manifest.null_layers = true;
  manifest.config = store_.layer(
      kConfigType,
      R"({"model_family":"gptoss","model_type":"116.8B","file_type":"MXFP4",)"
      R"("remote_host":"https://ollama.com:443","remote_model":"gpt-oss:120b",)"
      R"("capabilities":["completion","tools"],"context_length":131072,"embedding_length":2880,)"
      R"("requires":"0.12.7"})");
  const Model& model = store(manifest);
  EXPECT_EQ(text(model),
            "  Model\n"
            "    Remote model        gpt-oss:120b              \n"
            "    Remote URL          https://ollama.com:443    \n"
            "    architecture        gptoss                    \n"
            "    parameters          116.8B                    \n"
            "    context length      131072                    \n"
            "    embedding length    2880                      \n"
            "    quantization        MXFP4                     \n"
            "    requires            0.12.7                    \n"
            "\n"
            "  Capabilities\n"
            "    completion    \n"
            "    tools         \n"
            "\n");
  EXPECT_THAT(modelfile_text(model), HasSubstr("\nFROM m:a\nTEMPLATE {{ .Prompt }}\n"));
  EXPECT_THAT(modelfile_text(model), HasSubstr("\nREQUIRES 0.12.7\n"));
}

TEST_F(DescribedModel, SaysWhatIsLeftOut) {
  ManifestSpec manifest = store_.text_model(1, 100);
  manifest.layers[0] = store_.layer(kModelType, "no weights");
  const LayerSpec system = store_.layer(kSystemType, "lost");
  manifest.layers.push_back(system);
  manifest.layers.push_back(store_.layer(kParamsType, "[1]"));
  std::filesystem::remove(store_.blob_path(*Digest::parse(system.digest)));
  const Model& model = store(manifest);
  const Description description = describe(*dir_of_store_, model);
  EXPECT_THAT(description.parts.gaps,
              ElementsAre(HasSubstr("is missing"), HasSubstr("is not a JSON object"),
                          HasSubstr("is not a GGUF file")));
  EXPECT_THAT(description_text(description), HasSubstr("    architecture    llama     \n"));
  EXPECT_THAT(description_text(description), HasSubstr("    temperature    0.6"));
}

TEST_F(DescribedModel, PutsNothingInPlaceOfWhatCannotBeRead) {
  ManifestSpec manifest = store_.text_model(1, 100);
  const LayerSpec lost = store_.layer(kTemplateType, "lost");
  manifest.layers.push_back(lost);
  std::filesystem::remove(store_.blob_path(*Digest::parse(lost.digest)));
  const Model& model = store(manifest);
  const ModelParts parts = read_model_parts(*dir_of_store_, model);
  EXPECT_EQ(parts.template_, std::nullopt);
  EXPECT_TRUE(parts.lacks_template);
  EXPECT_FALSE(parts.lacks_parameters);
  EXPECT_THAT(modelfile_text(model), Not(HasSubstr("\nTEMPLATE")));
}

TEST_F(DescribedModel, MayHaveBlobsOfTheOldName) {
  ManifestSpec manifest = store_.text_model(1, 100);
  manifest.layers.push_back(store_.layer(kSystemType, "system"));
  for (const auto& entry : std::filesystem::directory_iterator{store_.root() / "blobs"}) {
    std::string name = entry.path().filename().string();
    name[6] = ':';
    std::filesystem::rename(entry.path(), entry.path().parent_path() / name);
  }
  const Model& model = store(manifest);
  const Description description = describe(*dir_of_store_, model);
  EXPECT_EQ(description.parts.system, "system");
  EXPECT_THAT(description.parts.parameters, Not(IsEmpty()));
  // The weights were found too; they only begin like some.
  EXPECT_THAT(description.parts.gaps, ElementsAre(HasSubstr("is GGUF of version")));
}

TEST_F(DescribedModel, HasNoMoreTextThanIsRead) {
  ManifestSpec manifest;
  const LayerSpec license = store_.layer(kLicenseType, std::string(10u << 20, 'x'));
  manifest.layers.assign(8, license);
  const Model& model = store(manifest);
  const ModelParts parts = read_model_parts(*dir_of_store_, model);
  EXPECT_EQ(parts.licenses.size(), 6u);
  EXPECT_THAT(parts.gaps, testing::SizeIs(2));
  EXPECT_TRUE(parts.lacks_license);
}

TEST_F(DescribedModel, ShowsNoLineThatIsTooLong) {
  ManifestSpec manifest = store_.text_model(1, 100);
  manifest.layers.push_back(
      store_.layer(kSystemType, "first\n" + std::string(100'000, 'x') + "\nthird\n"));
  const std::string shown = text(store(manifest));
  EXPECT_THAT(shown, HasSubstr("  System\n    first    \n\n"));
}

TEST(Parameters, GiveNoOrdersToTheTerminal) {
  const auto parameters =
      parse_parameters({"{\"a\":{\"b\":\"\xC2\x9B"
                        "2J\\u001b\"}}"});
  EXPECT_EQ(parameters.at(0).shown, R"({"b":"\u009b2J\u001b"})");
}

TEST_F(DescribedModel, HasAModelfileThatSaysAllThatOneCanSay) {
  ManifestSpec manifest;
  manifest.config = store_.layer(kConfigType, R"({"renderer":"qwen3","parser":"qwen3-p"})");
  manifest.layers = {
      store_.layer(kModelType, "GGUF"),
      store_.layer("application/vnd.ollama.image.draft", "draft"),
      store_.layer(kParamsType, R"({"num_ctx":1048576,"stop":[" x","a\"\n"],"bad name":1})"),
      store_.layer(kLicenseType, "page\fbreak"),
      store_.layer(
          "application/vnd.ollama.image.messages",
          R"([{"role":"user","content":"he says \"hi\"\nand goes"},)"
          R"({"role":"tool","content":"x"},{"role":"user","content":"y","images":["z"]}])"),
  };
  const std::string text = modelfile_text(store(manifest));
  EXPECT_THAT(text, HasSubstr("\nDRAFT /models/blobs/sha256-"));
  EXPECT_THAT(text, HasSubstr("\nRENDERER qwen3\nPARSER qwen3-p\n"));
  EXPECT_THAT(text, HasSubstr("\nPARAMETER num_ctx 1048576\n"));
  EXPECT_THAT(text, HasSubstr("\nPARAMETER stop \" x\"\nPARAMETER stop \"\"\"a\"\n\"\"\"\n"));
  EXPECT_THAT(text, HasSubstr("\n# PARAMETER \"bad name\" is left out"));
  EXPECT_THAT(text, HasSubstr("\n# LICENSE lacks characters"));
  EXPECT_THAT(text, HasSubstr("\nLICENSE pagebreak\n"));
  EXPECT_THAT(text, HasSubstr("\nMESSAGE user \"\"\"he says \"hi\"\nand goes\"\"\"\n"));
  EXPECT_THAT(text, HasSubstr("\n# MESSAGE of \"tool\" is left out"));
  EXPECT_THAT(text,
              HasSubstr("has more than a text, which no Modelfile can hold.\nMESSAGE user y"));
}

TEST(NumberInWords, IsAsOllamaPrintsIt) {
  EXPECT_EQ(number_in_words(999), "999");
  EXPECT_EQ(number_in_words(65'664), "66K");
  EXPECT_EQ(number_in_words(2'558'208), "2.56M");
  EXPECT_EQ(number_in_words(7'000'000'000), "7B");
  EXPECT_EQ(number_in_words(3'212'749'888), "3.2B");
}

}  // namespace
}  // namespace ollamafs::test
