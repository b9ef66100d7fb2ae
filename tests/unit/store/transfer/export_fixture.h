#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "store/catalog/model_query.h"
#include "store/transfer/export.h"
#include "store/transfer/transfer_error.h"
#include "tests/support/faulty_writes.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {

// Stops after so many bytes, or does something else then.
class ProgressAt final : public Progress {
 public:
  ProgressAt(std::uint64_t bytes, std::function<void()> act) : left_{bytes}, act_{std::move(act)} {}

  void expect(std::uint64_t bytes, std::uint64_t count) override {
    expected = bytes;
    expected_items = count;
  }
  void next(std::string_view /*name*/) override { ++items; }
  void add(std::uint64_t bytes) override {
    added += bytes;
    if (added >= left_ && act_) std::exchange(act_, nullptr)();
  }

  std::uint64_t expected = 0, expected_items = 0, added = 0, items = 0;

 private:
  std::uint64_t left_;
  std::function<void()> act_;
};

inline void interrupt_export() {
  throw Interrupted{};
}

// What is thrown; nothing if nothing is.
template <class Work>
std::pair<std::optional<TransferError::Kind>, std::string> export_failure(Work work) {
  try {
    work();
  } catch (const TransferError& error) {
    return {error.kind(), error.what()};
  }
  return {};
}

// Acts when an item begins.
class ProgressAtItem final : public Progress {
 public:
  ProgressAtItem(unsigned item, std::function<void()> act) : left_{item}, act_{std::move(act)} {}

  void next(std::string_view /*name*/) override {
    if (--left_ == 0) act_();
  }

 private:
  unsigned left_;
  std::function<void()> act_;
};

// A store with three models, and a folder to export them to.
class Exporting : public ::testing::Test {
 protected:
  void SetUp() override {
    store_.v1("golden:latest", store_.text_model(1, 1000));
    store_.v1("large:latest", store_.text_model(2, 3'000'000));
    ManifestSpec shared = store_.text_model(2, 3'000'000);  // the weights of large:latest
    shared.layers.push_back(store_.layer(kLicenseType, "mine"));
    store_.v2("me/shared:v1", shared);
    std::filesystem::create_directory(out_);
  }

  // Reads the store anew, and opens these models.
  ExportSource open(const std::vector<std::string>& names, const std::set<Digest>& without = {},
                    BlobLimits limits = {}) {
    catalog_ = Catalog::read(dir_of_store_);
    pool_ = std::make_unique<BlobPool>(dir_of_store_, limits);
    models_.clear();
    for (const std::string& name : names) models_.push_back(find_model(*catalog_, name));
    return open_export(*pool_, *catalog_, models_, without);
  }

  // The bytes of the tar, read by the layout.
  static std::string bytes_of(const ExportSource& source) {
    std::string bytes(source.size(), '\0');
    EXPECT_FALSE(source.file->read(bytes.data(), bytes.size(), 0));
    return bytes;
  }

  void to_file(const ExportSource& source, const std::filesystem::path& path,
               ExportFormat format = ExportFormat::tar, bool replace = false,
               const WriteCalls& calls = WriteCalls::kernel(),
               Progress& progress = Progress::none()) {
    export_to_file(source, format, path, replace, calls, progress);
  }

  std::vector<std::string> listing() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator{out_}) {
      if (!entry.is_directory())
        names.push_back(std::filesystem::relative(entry.path(), out_).string());
    }
    std::ranges::sort(names);
    return names;
  }

  TempDir dir_;
  StoreBuilder store_{dir_ / "models"};
  StoreDir dir_of_store_{store_.root(), OutsideLinks::refuse};
  std::shared_ptr<const Catalog> catalog_;
  std::unique_ptr<BlobPool> pool_;
  std::vector<const Model*> models_;
  std::filesystem::path out_ = dir_ / "out";
  std::filesystem::path file_ = out_ / "x.tar";
  WriteFaultPlan plan_;
  FaultyWrites faulty_{plan_};
};

}  // namespace ollamafs::test
