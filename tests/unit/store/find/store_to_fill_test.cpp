// Where models are imported to on a machine on which Ollama may never have run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "store/find/store_location.h"
#include "tests/unit/store/find/other_machine.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;
using State = StoreCandidate::State;

class StoreToFillTest : public OtherMachine {
 protected:
  [[nodiscard]] StoreCandidate to_fill(const fs::path& given = {}) const {
    return find_store_to_fill(given, host()).taken;
  }
};

TEST_F(StoreToFillTest, IsTheStoreWhereThereIsOne) {
  environment_["HOME"] = "/home/me";
  make_store("/home/me/.ollama/models");
  EXPECT_EQ(to_fill().path, found());
  EXPECT_EQ(to_fill().state, State::store);
}

TEST_F(StoreToFillTest, IsInTheHomeWhereThereIsNone) {
  environment_["HOME"] = "/home/me";
  EXPECT_EQ(to_fill().path, "/home/me/.ollama/models");
  EXPECT_EQ(to_fill().state, State::missing);
  sudo_user_ = "you";
  homes_["you"] = "/home/you";
  EXPECT_EQ(to_fill().path, "/home/you/.ollama/models");
}

TEST_F(StoreToFillTest, IsTheServicesWhereThereIsAService) {
  environment_["HOME"] = "/home/me";
  add_unit("Environment=OLLAMA_MODELS=/srv/models\nUser=ollama\n");
  EXPECT_EQ(to_fill().path, "/srv/models");
  EXPECT_EQ(to_fill().state, State::missing);
}

TEST_F(StoreToFillTest, IsWhatIsNamedIfItIsMissingOrEmpty) {
  EXPECT_EQ(to_fill("/new/models").path, "/new/models");
  environment_["OLLAMA_MODELS"] = "/named";
  EXPECT_EQ(to_fill().path, "/named");
  fs::create_directories(on_disk("/named"));
  EXPECT_EQ(to_fill().path, "/named");
  write("/other/file", "x");
  environment_["OLLAMA_MODELS"] = "/other";
  EXPECT_THROW((void)to_fill(), StoreNotFound);
}

TEST_F(StoreToFillTest, IsNoneWithoutAHome) {
  EXPECT_THROW((void)to_fill(), StoreNotFound);
}

}  // namespace
}  // namespace ollamafs::test
