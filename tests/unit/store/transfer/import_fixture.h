#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "store/catalog/catalog.h"
#include "store/transfer/archive_source.h"
#include "store/transfer/importer.h"
#include "store/transfer/open_sources.h"
#include "store/transfer/transfer_error.h"
#include "tests/support/archive_maker.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {

// Imports into a store of its own.
class ImportFixture : public ::testing::Test {
 protected:
  [[nodiscard]] std::filesystem::path target() const { return dir_ / "target"; }

  // NAME and ID of each whole model of a store.
  static std::map<std::string, std::string> models_of(const std::filesystem::path& store) {
    std::map<std::string, std::string> models;
    const auto catalog = Catalog::read(StoreDir{store, OutsideLinks::follow});
    for (const Model& model : catalog->models()) {
      EXPECT_TRUE(model.whole()) << model.shown << ": " << model.faults.front().text;
      models[model.name.full()] = model.manifest->digest.id();
    }
    return models;
  }

  ImportResult import(const std::vector<std::filesystem::path>& paths,
                      const ImportOptions& options = {},
                      const WriteCalls& calls = WriteCalls::kernel()) const {
    return import_models(open_sources(paths, OutsideLinks::follow, Progress::none()), target(),
                         options, Progress::none(), calls);
  }

  // An archive, as a file.
  ImportResult import_bytes(const std::string& archive, const ImportOptions& options = {},
                            const WriteCalls& calls = WriteCalls::kernel()) const {
    const std::filesystem::path path = dir_ / "archive";
    write_file(path, archive);
    return import({path}, options, calls);
  }

  // An archive, through a pipe.
  ImportResult import_piped(const std::string& archive, const ImportOptions& options = {},
                            const WriteCalls& calls = WriteCalls::kernel()) const {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error{"no pipe"};
    std::vector<UniqueFd> reader;
    reader.emplace_back(ends[0]);
    std::jthread feeder{[&archive, fd = ends[1]] {
      const UniqueFd writer{fd};
      for (std::size_t at = 0; at < archive.size();) {
        const ssize_t n = ::write(writer.get(), archive.data() + at, archive.size() - at);
        if (n <= 0) return;
        at += static_cast<std::size_t>(n);
      }
    }};
    std::vector<std::unique_ptr<ImportSource>> sources;
    sources.push_back(open_archive_source(ByteStream{std::move(reader), {"pipe"}}, "pipe"));
    return import_models(std::move(sources), target(), options, Progress::none(), calls);
  }

  // How an import failed: its kind and what it says. Fails the test if it did not.
  template <class Work>
  static std::pair<TransferError::Kind, std::string> failure_of(Work work) {
    try {
      work();
    } catch (const TransferError& error) {
      return {error.kind(), error.what()};
    } catch (const std::system_error& error) {
      return {TransferError::Kind::failed, error.what()};
    }
    ADD_FAILURE() << "was imported";
    return {};
  }

  TempDir dir_;
};

}  // namespace ollamafs::test
