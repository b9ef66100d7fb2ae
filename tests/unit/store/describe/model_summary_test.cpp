#include "store/describe/model_summary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "store/describe/model_summaries.h"
#include "tests/support/faulty_calls.h"
#include "tests/support/gguf_builder.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

constexpr const char* kConfig =
    R"({"model_format":"gguf","model_family":"qwen3","model_type":"8.2B","file_type":"Q8_0"})";

class ModelSummaryTest : public ::testing::Test {
 protected:
  // The one model of the store, with such a config, weights and license.
  std::shared_ptr<const Catalog> catalog(const std::string& config, const std::string& weights,
                                         const std::string& license) {
    ManifestSpec model;
    model.config = builder_.layer(kConfigType, config);
    model.layers = {builder_.layer(kModelType, weights), builder_.layer(kLicenseType, license),
                    builder_.layer(kLicenseType, "another")};
    builder_.v1("a:b", model);
    return Catalog::read(store_);
  }

  ModelSummary summary(const std::string& config, const std::string& weights,
                       const std::string& license = "MIT") {
    return summarize(store_, catalog(config, weights, license)->models().front());
  }

  TempDir dir_;
  StoreBuilder builder_{dir_ / "store"};
  FaultPlan plan_;
  FaultyCalls calls_{plan_};
  StoreDir store_{dir_ / "store", OutsideLinks::refuse, {}, calls_};
};

GgufBuilder qwen() {
  return GgufBuilder{}
      .text("general.architecture", "qwen3")
      .text("general.size_label", "8B")
      .number("qwen3.context_length", 40'960);
}

// What stands behind the values that are needed is megabytes, and not read.
std::string with_tokens(const GgufBuilder& head) {
  GgufBuilder gguf = head;
  std::string tokens = GgufBuilder::raw(std::uint32_t{8}) + gguf.length(100'000);
  for (int i = 0; i < 100'000; ++i) tokens += gguf.string("token");
  return gguf.value("tokenizer.ggml.tokens", 9, tokens).tensor("a", {4}).bytes();
}

TEST_F(ModelSummaryTest, TakesEachValueFromWhereItStands) {
  const ModelSummary all = summary(kConfig, with_tokens(qwen()), "\n  \t Apache License \r\nmore");
  EXPECT_EQ(all.family, "qwen3");
  EXPECT_EQ(all.parameters, "8.2B");
  EXPECT_EQ(all.quantization, "Q8_0");
  EXPECT_EQ(all.context_length, 40'960u);
  EXPECT_EQ(all.license, "Apache License");
  EXPECT_FALSE(all.has_gaps);
}

TEST_F(ModelSummaryTest, AsksTheWeightsWhatTheConfigDoesNotSay) {
  const ModelSummary labelled = summary("{}", with_tokens(qwen()));
  EXPECT_EQ(labelled.family, "qwen3");
  EXPECT_EQ(labelled.parameters, "8B");
  EXPECT_EQ(labelled.quantization, "");
  const auto counted =
      qwen().value("general.parameter_count", 10, GgufBuilder::raw(std::uint64_t{8'190'735'360}));
  EXPECT_EQ(summary("{}", counted.bytes()).parameters, "8.2B");
}

TEST_F(ModelSummaryTest, LeavesOutWhatIsBroken) {
  const ModelSummary none = summary("no JSON", "no GGUF", "");
  EXPECT_EQ(none.family + none.parameters + none.quantization + none.license, "");
  EXPECT_EQ(none.context_length, std::nullopt);
  EXPECT_TRUE(none.has_gaps);
  // Also of a config that is larger than any.
  EXPECT_EQ(summary(kConfig + std::string(100'000, ' '), qwen().bytes()).parameters, "8B");
}

TEST_F(ModelSummaryTest, IsShortWhateverTheStoreHolds) {
  const ModelSummary longest =
      summary(R"({"model_family":")" + std::string(10'000, 'x') + R"("})",
              qwen().text("general.size_label", std::string(10'000, 'y')).bytes(),
              std::string(10'000, 'z'));
  EXPECT_EQ(longest.family, std::string(128, 'x'));
  EXPECT_EQ(longest.parameters, std::string(128, 'y'));
  EXPECT_EQ(longest.license, std::string(128, 'z'));
}

TEST_F(ModelSummaryTest, AreReadOnceAndAgainIfSomethingWasMissing) {
  const auto models = catalog(kConfig, qwen().bytes(), "MIT");
  const Model& model = models->models().front();
  ModelSummaries summaries{store_};
  plan_.fail(call::kAll, EIO);
  EXPECT_EQ(summaries.of(model).family, "");
  plan_.fail(call::kOpens, EMFILE);
  EXPECT_THROW((void)summaries.of(model), std::system_error);
  plan_.clear();
  EXPECT_EQ(summaries.of(model).license, "MIT");
  plan_.fail(call::kAll, EIO);
  EXPECT_EQ(summaries.of(model).license, "MIT");
  EXPECT_EQ(plan_.seen, 0u);
}

TEST_F(ModelSummaryTest, AreNotKeptWithoutABound) {
  const auto one = catalog(kConfig, qwen().bytes(), "one");
  const auto two = catalog(kConfig, qwen().bytes(), "two");
  ModelSummaries summaries{store_, 1};
  EXPECT_EQ(summaries.of(one->models().front()).license, "one");
  EXPECT_EQ(summaries.of(two->models().front()).license, "two");
  plan_.fail(call::kAll, EIO);
  EXPECT_EQ(summaries.of(two->models().front()).license, "two");
  EXPECT_EQ(summaries.of(one->models().front()).license, "");
}

}  // namespace
}  // namespace ollamafs::test
