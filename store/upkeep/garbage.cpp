#include "store/upkeep/garbage.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "store/base/file_identity.h"
#include "store/base/text.h"
#include "store/upkeep/file_use.h"
#include "store/upkeep/references.h"

namespace ollamafs {
namespace {

// A time from the future is young as well: somebody's clock is wrong.
bool is_young(const BlobEntry& entry, std::int64_t now) noexcept {
  return entry.st.st_mtim.tv_sec > now - std::chrono::seconds{kGrace}.count();
}

// ---- finding ----

class GarbageFinder {
 public:
  GarbageFinder(const StoreDir& store, std::int64_t now)
      : store_{store},
        now_{now},
        references_{read_references(store)},
        entries_{list_blob_folder(store)} {}

  Garbage find() && {
    const bool is_downloading = std::ranges::any_of(
        entries_, [this](const BlobEntry& entry) { return tells_of_download(entry); });
    for (BlobEntry& entry : entries_) {
      if (entry.kind == BlobEntryKind::folder || entry.kind == BlobEntryKind::foreign) {
        out_.others.push_back(std::move(entry));
      } else if (!is_named(entry)) {
        sort_out(std::move(entry), is_downloading);
      }
    }
    if (!references_.doubts.empty()) out_.files.clear();
    out_.doubts = std::move(references_.doubts);
    return std::move(out_);
  }

 private:
  [[nodiscard]] bool is_named(const BlobEntry& entry) const {
    return entry.digest && references_.named.contains(*entry.digest);
  }

  // A pull that verifies its layers, or has just fetched the last one, has no partial any more:
  // then only its youngest blob tells of it. One that hangs has a partial open that nobody writes.
  [[nodiscard]] bool tells_of_download(const BlobEntry& entry) {
    if (entry.kind == BlobEntryKind::partial) return is_young(entry, now_) || is_open(entry);
    return entry.kind == BlobEntryKind::blob && !is_named(entry) && is_young(entry, now_);
  }

  [[nodiscard]] bool is_open(const BlobEntry& entry) {
    return S_ISREG(entry.st.st_mode) && (open_files().has(entry.st) || is_leased_out(entry));
  }

  // What other users' processes have open only a lease tells. Blobs are asked for one when they are
  // to be deleted; of partials there are few.
  [[nodiscard]] bool is_leased_out(const BlobEntry& entry) const {
    if (entry.kind != BlobEntryKind::partial) return false;
    std::error_code ec;
    const StoreDir::Opened file = store_.open_file(entry.path(), ec);
    return !ec && ExclusiveHold{file.fd.get()}.state() == ExclusiveHold::State::in_use;
  }

  void sort_out(BlobEntry entry, bool is_downloading) {
    if (is_young(entry, now_)) {
      out_.kept.push_back({std::move(entry), KeptBecause::young});
    } else if (is_open(entry)) {
      out_.kept.push_back({std::move(entry), KeptBecause::in_use});
    } else if (is_downloading) {
      out_.kept.push_back({std::move(entry), KeptBecause::downloading});
    } else {
      out_.files.push_back(std::move(entry));
    }
  }

  const OpenFileList& open_files() {
    if (!open_files_) open_files_ = OpenFileList::read();
    return *open_files_;
  }

  const StoreDir& store_;
  const std::int64_t now_;
  StoreReferences references_;
  std::vector<BlobEntry> entries_;
  std::optional<OpenFileList> open_files_;
  Garbage out_;
};

// ---- deleting ----

class GarbageDeleter {
 public:
  GarbageDeleter(const StoreDir& store, const WriteCalls& calls) : store_{store}, calls_{calls} {
    std::error_code ec;
    folder_ = store.open_directory("blobs", ec).fd;
    if (ec) throw std::system_error{ec, (store.path() / "blobs").string()};
  }

  void remove(Deletion& deletion) {
    if (doubts_.empty()) look_again();
    const std::string path = deletion.entry.path();
    if (!needless_.contains(path)) {
      deletion.is_spared = true;
      return;
    }
    std::error_code ec;
    const StoreDir::Opened entry = store_.resolve_entry(path, ec);
    struct stat st {};
    if (!ec && store_.calls().fstat(entry.fd.get(), st) != 0) ec = {errno, std::generic_category()};
    if (ec) return fail(deletion, ec);
    if (FileIdentity::of(st) != FileIdentity::of(deletion.entry.st)) {
      deletion.is_spared = true;
    } else if (S_ISREG(st.st_mode)) {
      remove_unless_open(deletion);
    } else {
      unlink(deletion);
    }
  }

  [[nodiscard]] std::vector<Problem>&& take_doubts() && { return std::move(doubts_); }

 private:
  // A pull may have ended meanwhile, and its manifest may name what was needless. Once there is a
  // doubt, all that is left is left.
  void look_again() try {
    const auto now = std::chrono::steady_clock::now();
    if (looked_at_ && now - *looked_at_ < kFresh) return;
    needless_.clear();
    Garbage garbage = find_garbage(store_, std::time(nullptr));
    for (const BlobEntry& entry : garbage.files) needless_.insert(entry.path());
    doubts_ = std::move(garbage.doubts);
    looked_at_ = std::chrono::steady_clock::now();
  } catch (const std::system_error& error) {
    doubts_.push_back({ProblemKind::unreadable, {}, "", unread_store(error.what())});
  } catch (const std::length_error& error) {
    doubts_.push_back({ProblemKind::unreadable, {}, "", unread_store(error.what())});
  }

  static std::string unread_store(std::string_view what) {
    return "the store cannot be read any more: " + printable(what);
  }

  static void fail(Deletion& deletion, const std::error_code& ec) {
    if (ec == std::errc::no_such_file_or_directory) {
      deletion.is_gone = true;
    } else {
      deletion.error = ec;
    }
  }

  // The lease sees what OpenFileList cannot, which find_garbage() has asked already.
  void remove_unless_open(Deletion& deletion) {
    std::error_code ec;
    const StoreDir::Opened file = store_.open_file(deletion.entry.path(), ec);
    // Not readable, but its folder may be written.
    if (ec == std::errc::permission_denied || ec == std::errc::operation_not_permitted) {
      return unlink(deletion);
    }
    if (ec) return fail(deletion, ec);
    const ExclusiveHold hold{file.fd.get()};
    if (hold.state() == ExclusiveHold::State::in_use) {
      deletion.is_spared = true;
    } else {
      unlink(deletion);
    }
  }

  void unlink(Deletion& deletion) const {
    if (calls_.unlinkat(folder_.get(), deletion.entry.name.c_str(), 0) == 0) return;
    fail(deletion, {errno, std::generic_category()});
  }

  static constexpr std::chrono::milliseconds kFresh{200};

  const StoreDir& store_;
  const WriteCalls& calls_;
  UniqueFd folder_;
  std::vector<Problem> doubts_;
  std::set<std::string> needless_;  // paths, as of looked_at_
  std::optional<std::chrono::steady_clock::time_point> looked_at_;
};

}  // namespace

Garbage find_garbage(const StoreDir& store, std::int64_t now) {
  return GarbageFinder{store, now}.find();
}

DeletionReport delete_garbage(const StoreDir& store, const std::vector<BlobEntry>& files,
                              const WriteCalls& calls) {
  DeletionReport report;
  if (files.empty()) return report;
  GarbageDeleter deleter{store, calls};
  report.deletions.reserve(files.size());
  for (const BlobEntry& entry : files) {
    deleter.remove(report.deletions.emplace_back(Deletion{.entry = entry}));
  }
  report.doubts = std::move(deleter).take_doubts();
  return report;
}

}  // namespace ollamafs
