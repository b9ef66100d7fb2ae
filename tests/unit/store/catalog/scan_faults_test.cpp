// A store that is read while one call after the other fails: what is found is true, and what is not
// found is complained of.
#include <gmock/gmock.h>
#include <string.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "store/access/audience.h"
#include "store/catalog/catalog.h"
#include "tests/support/faulty_calls.h"
#include "tests/support/store_builder.h"
#include "tests/support/temp_dir.h"

namespace ollamafs::test {
namespace {

namespace fs = std::filesystem;

// By which a store is read, each kind by itself.
constexpr unsigned kCalls[] = {call::kOpenat2, call::kOpenat, call::kFstat,   call::kReadlink,
                               call::kReaddir, call::kPread,  call::kReadable};

// Both trees, a list of two children, models that share blobs, an anchor.
class ScanUnderFaults : public ::testing::TestWithParam<int> {
 protected:
  ScanUnderFaults() {
    const ManifestSpec plain = store_.text_model(1, 3000), other = store_.text_model(2, 3000);
    store_.v1("plain:a", plain);
    store_.v1("hf.co/some/one:b", other);
    store_.v2("both:a", other);
    store_.v1("both:a", plain);
    store_.v2_bytes("list:a", StoreBuilder::list_json({{child(3, "ggml"), "ggml", "gguf"},
                                                       {child(4, "mlx"), "mlx", "safetensors"}}));
    truth_ = Catalog::read(StoreDir{store_.root(), OutsideLinks::refuse});
  }

  [[nodiscard]] Digest child(std::uint64_t seed, const std::string& runner) const {
    ManifestSpec child = store_.text_model(seed, 2000);
    child.runner = runner;
    return Digest::parse(store_.layer(kManifestType, child.json()).digest).value();
  }

  // Reads the store with a fault at every call of `which` in turn; `look` at what comes of it.
  template <class Look>
  void at_every_call(unsigned which, Look&& look) {
    for (std::uint64_t n = 0;; ++n) {
      plan_.fail(which, GetParam(), n, 1);
      std::shared_ptr<const Catalog> catalog;
      std::string error;
      try {
        catalog = Catalog::read(StoreDir{store_.root(), OutsideLinks::refuse, {}, calls_});
      } catch (const std::system_error& failure) {
        EXPECT_EQ(failure.code().value(), GetParam());
        error = failure.what();
      }
      if (plan_.injected == 0) {
        EXPECT_GT(n, 0u);
        break;
      }
      SCOPED_TRACE("call " + std::to_string(n) + " of those of mask " + std::to_string(which));
      look(catalog, error);
    }
  }

  [[nodiscard]] static const Model* find(const Catalog& catalog, const std::string& tag_path) {
    const auto it = std::ranges::find(catalog.models(), tag_path, &Model::tag_path);
    return it == catalog.models().end() ? nullptr : &*it;
  }

  // Whether a problem is said of the file or of a directory above it.
  [[nodiscard]] static bool is_complained_of(const Catalog& catalog, const std::string& path) {
    return std::ranges::any_of(catalog.problems(), [&](const Problem& problem) {
      return path == problem.path || path.starts_with(problem.path + "/");
    });
  }

  // What is whole is as it is; what is said to be missing may be left out, nothing else.
  void expect_true(const Catalog& catalog) const {
    for (const Model& model : catalog.models()) {
      const Model* const right = find(*truth_, model.tag_path);
      if (!model.whole()) continue;
      if (!right) {
        EXPECT_EQ(GetParam(), ENOENT) << model.tag_path << " is not to be seen";
        continue;
      }
      // Of a list the next child that is there.
      if (GetParam() == ENOENT && model.shown == "list:a") continue;
      EXPECT_EQ(model.manifest->digest, right->manifest->digest) << model.tag_path;
      EXPECT_EQ(model.manifest->blobs.size(), right->manifest->blobs.size()) << model.tag_path;
      EXPECT_EQ(model.mtime, right->mtime) << model.tag_path;
    }
    if (GetParam() == ENOENT) return;  // what is not there any more is gone
    for (const Model& model : truth_->models()) {
      EXPECT_TRUE(find(catalog, model.tag_path) || is_complained_of(catalog, model.tag_path))
          << model.tag_path << " is lost without a word";
    }
  }

  TempDir dir_;
  StoreBuilder store_{dir_ / "store"};
  std::shared_ptr<const Catalog> truth_;
  FaultPlan plan_;
  FaultyCalls calls_{plan_};
};

bool is_of_this_process(int error) {
  return error == EMFILE || error == ENFILE || error == ENOMEM || error == EINTR;
}

TEST_P(ScanUnderFaults, FindsWhatIsTrueOrSaysWhatItLacks) {
  for (const unsigned which : kCalls) {
    at_every_call(which,
                  [&](const std::shared_ptr<const Catalog>& catalog, const std::string& error) {
                    if (!catalog) {
                      EXPECT_THAT(error, ::testing::HasSubstr(store_.root().string()));
                      return;
                    }
                    expect_true(*catalog);
                    // A store that is half read for want of descriptors must not be taken for a
                    // smaller one. EINTR ends no pread.
                    if (is_of_this_process(GetParam())) {
                      EXPECT_TRUE(*catalog == *truth_) << catalog->models().size() << " models";
                    }
                  });
  }
}

// Read again and again, a store whose disk fails for a moment loses no model, and is read once
// more.
class ScanOnABadDisk : public ScanUnderFaults {};

TEST_P(ScanOnABadDisk, TakesNoModelForGone) {
  for (const unsigned which : kCalls) {
    at_every_call(which, [&](const std::shared_ptr<const Catalog>& catalog, const std::string&) {
      if (!catalog) return;
      EXPECT_TRUE(*catalog == *truth_ || catalog->is_provisional());
      const auto shown = Catalog::keep_unread(catalog, *truth_);
      EXPECT_EQ(shown->models().size(), truth_->models().size());
      for (const Model& right : truth_->models()) {
        const Model* const model = find(*shown, right.tag_path);
        ASSERT_TRUE(model) << right.tag_path;
        EXPECT_EQ(model->manifest->digest, right.manifest->digest) << right.tag_path;
        const Model* const found = find(*catalog, right.tag_path);
        const bool is_bad = found && std::ranges::any_of(found->blobs, [&](std::uint32_t blob) {
                              return !catalog->blobs()[blob].good();
                            });
        EXPECT_TRUE(model->whole() || is_bad) << right.tag_path;
      }
    });
  }
}

// A file that cannot be looked at now, other than one that is not there, may be shown later: it
// must not be left out of account.
class SurveyUnderFaults : public ScanUnderFaults {};

TEST_P(SurveyUnderFaults, GivesNobodyMoreThanTheFilesAllow) {
  const StoreDir dir{store_.root(), OutsideLinks::refuse, {}, calls_};
  plan_.clear();
  for (const Blob& blob : truth_->blobs())
    fs::permissions(store_.blob_path(blob.digest), fs::perms{0600});
  const Audience right = audience_of(dir, *truth_).audience;
  for (std::uint64_t n = 0;; ++n) {
    plan_.fail(call::kOpens | call::kFstat, GetParam(), n, truth_->blobs().size() + 1);
    try {
      EXPECT_LE(audience_of(dir, *truth_).audience, right) << "from call " << n << " on";
    } catch (const std::system_error& error) {
      EXPECT_EQ(error.code().value(), GetParam());
    }
    if (plan_.injected == 0) break;
  }
}

INSTANTIATE_TEST_SUITE_P(, ScanUnderFaults,
                         ::testing::Values(EIO, EMFILE, ENFILE, ENOMEM, EINTR, ENOENT, EACCES,
                                           ESTALE),
                         [](const auto& test) { return ::strerrorname_np(test.param); });

INSTANTIATE_TEST_SUITE_P(, ScanOnABadDisk, ::testing::Values(EIO, ESTALE, ETIMEDOUT),
                         [](const auto& test) { return ::strerrorname_np(test.param); });

INSTANTIATE_TEST_SUITE_P(, SurveyUnderFaults,
                         ::testing::Values(EIO, EMFILE, ENFILE, ENOMEM, EINTR, EACCES, ESTALE),
                         [](const auto& test) { return ::strerrorname_np(test.param); });

// ---- what is no fault ----

class SlowScan : public ScanUnderFaults {};

TEST_F(SlowScan, TakesReadsThatAreShortOrInterruptedForWhatTheyAre) {
  plan_.clear();
  plan_.kind = FaultPlan::Kind::shortened;
  plan_.one_in = 1;
  plan_.calls = call::kPread;
  EXPECT_TRUE(*Catalog::read(StoreDir{store_.root(), OutsideLinks::refuse, {}, calls_}) == *truth_);
  EXPECT_GT(plan_.injected, 1000u);
  plan_.fail(call::kPread, EINTR);
  plan_.one_in = 2;
  EXPECT_TRUE(*Catalog::read(StoreDir{store_.root(), OutsideLinks::refuse, {}, calls_}) == *truth_);
  EXPECT_GT(plan_.injected, 0u);
}

}  // namespace
}  // namespace ollamafs::test
