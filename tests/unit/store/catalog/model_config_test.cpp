#include "store/catalog/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

// A file of docs/store-format.md §12.3, byte for byte.
std::string sample(std::string_view name) {
  return read_file(fs::path{OLLAMAFS_FIXTURES} / "samples" / name);
}

class ModelConfigTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::optional<ModelConfig> read() const {
    const StoreDir store{store_.root(), OutsideLinks::refuse};
    const auto catalog = Catalog::read(store);
    if (catalog->models().size() != 1) throw std::runtime_error{"not one model"};
    return read_config(store, catalog->models()[0]);
  }
  // The config of a model whose config blob has this content.
  [[nodiscard]] std::optional<ModelConfig> read(const std::string& content) const {
    write(content);
    return read();
  }
  void write(const std::string& content) const {
    ManifestSpec spec;
    spec.config = store_.layer(kConfigType, content);
    store_.v1("me/model:latest", spec);
  }
  [[nodiscard]] fs::path blob(const std::string& content) const {
    return store_.blob_path(Digest::of(content));
  }

  TempDir dir_;
  StoreBuilder store_{dir_ / "models"};
};

// `ollama list` prints '-' for the size of such a model.
TEST_F(ModelConfigTest, TellsThatACloudModelRunsElsewhere) {
  store_.layer(kConfigType, sample("cloud-config.json"));
  store_.v1_bytes("gpt-oss:120b-cloud", sample("cloud.json"));
  const auto config = read();
  ASSERT_TRUE(config);
  EXPECT_EQ(config->remote_host, "https://ollama.com:443");
  EXPECT_EQ(config->remote_model, "gpt-oss:120b");
}

TEST_F(ModelConfigTest, TellsThatALocalModelRunsHere) {
  const auto config = read(R"({"model_format":"gguf","model_families":null,"os":"linux"})");
  ASSERT_TRUE(config);
  EXPECT_EQ(config->remote_host, "");
  EXPECT_EQ(config->remote_model, "");
}

TEST_F(ModelConfigTest, LooksOnlyAtTheTop) {
  const auto config =
      read(R"({"draft":{"remote_model":"a"},"x":[{"remote_model":"b"}],"remote_host":"here"})");
  ASSERT_TRUE(config);
  EXPECT_EQ(config->remote_model, "");
  EXPECT_EQ(config->remote_host, "here");
}

TEST_F(ModelConfigTest, TakesAFieldOfAnotherTypeForNone) {
  for (const char* const value : {"null", "7", "true", "{}", "[\"m\"]"}) {
    const auto config = read(R"({"remote_model":)" + std::string{value} + "}");
    ASSERT_TRUE(config) << value;
    EXPECT_EQ(config->remote_model, "") << value;
  }
}

TEST_F(ModelConfigTest, IsNothingIfTheModelHasNone) {
  ManifestSpec spec;
  spec.layers = {store_.layer(kModelType, "weights")};
  store_.v1("me/model:latest", spec);
  EXPECT_FALSE(read());
}

TEST_F(ModelConfigTest, IsNothingIfItIsNoJsonObject) {
  for (const char* const content : {"", "x", "[]", "null", "\"remote_model\"", "{\"a\":", "{}{}"}) {
    EXPECT_FALSE(read(content)) << content;
  }
}

TEST_F(ModelConfigTest, IsNothingIfItsBlobCannotBeRead) {
  const std::string content = R"({"remote_model":"m"})";
  ASSERT_TRUE(read(content));
  fs::remove(blob(content));
  EXPECT_FALSE(read());
  fs::create_directory(blob(content));
  EXPECT_FALSE(read());
  fs::remove(blob(content));
  ASSERT_EQ(::mkfifo(blob(content).c_str(), 0644), 0);
  EXPECT_FALSE(read());
  fs::remove(blob(content));
  write_file(dir_ / "secret", content);
  fs::create_symlink(dir_ / "secret", blob(content));
  EXPECT_FALSE(read());
}

// A list whose children are all gone stands for a model of which nothing is known.
TEST_F(ModelConfigTest, IsNothingIfTheManifestIsLost) {
  const Digest digest = store_.v2("me/model:latest", store_.text_model(1, 100));
  fs::remove(store_.blob_path(digest));
  EXPECT_FALSE(read());
}

TEST_F(ModelConfigTest, MayBeHostile) {
  EXPECT_FALSE(read(std::string(100'000, '[')));
  const auto deep = read(R"({"x":)" + std::string(100'000, '[') + std::string(100'000, ']') +
                         R"(,"remote_model":"m"})");
  ASSERT_TRUE(deep);
  EXPECT_EQ(deep->remote_model, "m");

  const std::string large = R"({"remote_model":"m"})";
  write(large);
  fs::resize_file(blob(large), 64u << 20);  // sparse
  EXPECT_FALSE(read());
}

}  // namespace
}  // namespace ollamafs::test
