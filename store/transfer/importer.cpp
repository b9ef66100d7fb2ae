#include "store/transfer/importer.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <system_error>
#include <utility>

#include "store/base/text.h"
#include "store/catalog/catalog.h"
#include "store/folder/read_file.h"
#include "store/folder/store_dir.h"
#include "store/transfer/blob_intake.h"
#include "store/transfer/inventory.h"
#include "store/transfer/member_path.h"
#include "store/transfer/store_writer.h"
#include "store/transfer/target_names.h"
#include "store/transfer/transfer_error.h"

namespace ollamafs {
namespace {

namespace fs = std::filesystem;
using Sources = std::vector<std::unique_ptr<ImportSource>>;

// The store that is imported into, as far as it is there.
struct Target {
  Target(const fs::path& path, bool dry_run, const WriteCalls& calls) {
    std::error_code ec;
    if (dry_run && !fs::exists(path, ec)) return;
    writer = std::make_unique<StoreWriter>(path, calls);
    if (!dry_run) writer->remove_left_behind();
    dir = writer->reader();
  }

  std::unique_ptr<StoreWriter> writer;
  std::unique_ptr<StoreDir> dir;
};

class Import {
 public:
  Import(Sources sources, const fs::path& store, const ImportOptions& options, Progress& progress,
         const WriteCalls& calls)
      : sources_{std::move(sources)},
        options_{options},
        progress_{progress},
        target_{store, options.dry_run, calls},
        intake_{options.dry_run ? nullptr : target_.writer.get(), target_.dir.get(),
                options.trust_existing, progress} {}

  ImportResult run() {
    const bool is_quick = std::ranges::all_of(sources_, &ImportSource::is_quick);
    for (const auto& source : sources_) {
      while (const auto member = source->next()) collect(*source, *member, is_quick);
    }
    choose_models();
    place_models();
    std::vector<Digest> needed = is_quick ? needed_from_sources() : std::vector<Digest>{};
    if (is_quick && !options_.dry_run) take_needed(std::move(needed));
    check_blobs(is_quick && options_.dry_run);
    return options_.dry_run ? result() : write_manifests();
  }

 private:
  struct Wanted {
    SourceModel source;
    Placement place;
  };

  // ---- what the sources hold ----

  void collect(ImportSource& source, const Member& member, bool is_survey) {
    inventory_.see(source.shown(), member);
    if (member.kind == Member::Kind::manifest) {
      collect_manifest(source, member);
    } else if (member.kind == Member::Kind::link) {
      inventory_.add_link(source.shown(), member);
    } else if (member.same_as) {
      if (in_sources_.contains(*member.same_as)) return;
      throw TransferError{TransferError::Kind::broken,
                          fmt::format("{} is refused: member {} is a hard link to a member that is "
                                      "not there before it",
                                      source.shown(), printable(member.path))};
    } else if (const auto [at, is_new] = in_sources_.try_emplace(*member.digest, member.size);
               is_new) {
      is_survey ? survey_blob(source, member) : take_as_it_comes(source, member);
    }
  }

  void collect_manifest(ImportSource& source, const Member& member) {
    std::string bytes = read_member(source, member, kMaxManifestBytes);
    // A zip that comes through a pipe says only behind all members which of them are symlinks.
    if (const auto digest = manifest_behind(bytes); digest && member.tree == TreeKind::v2) {
      Member link = member;
      link.digest = digest;
      inventory_.add_link(source.shown(), link);
      return;
    }
    if (member.made_for && content_time(Digest::of(bytes)) != *member.made_for) {
      throw TransferError{
          TransferError::Kind::broken,
          fmt::format("{} is damaged: member {} is not the manifest that was packed",
                      source.shown(), printable(member.path))};
    }
    inventory_.add_manifest(source.shown(), member, std::move(bytes));
  }

  // Only what may be a manifest is read.
  void survey_blob(ImportSource& source, const Member& member) {
    if (member.size && *member.size > kMaxManifestBytes) return;
    std::string beginning(std::size_t{4} << 10, '\0');
    beginning.resize(source.read(beginning.data(), beginning.size()));
    if (!Inventory::may_be_manifest(beginning, beginning.size())) return;
    if (beginning.size() == std::size_t{4} << 10) {
      beginning += read_member(source, member, kMaxManifestBytes);
    }
    if (Digest::of(beginning) == *member.digest) {
      inventory_.keep_blob(*member.digest, std::move(beginning));
    }
  }

  void take_as_it_comes(ImportSource& source, const Member& member) {
    if (intake_.has(*member.digest, member.size)) return;
    intake_.take(source, member, inventory_);
  }

  // ---- which models these are ----

  void choose_models() {
    const auto is_complete = [this](const StoredManifest& manifest) {
      return manifest.faults.empty() &&
             std::ranges::all_of(manifest.blobs,
                                 [this](const BlobRef& ref) { return may_have(ref); });
    };
    const auto elsewhere = [this](const Digest& digest) { return stored_manifest(digest); };
    for (SourceModel& model : inventory_.models(is_complete, elsewhere)) {
      wanted_.push_back({std::move(model), {.name = *ModelName::parse("x")}});
    }
    if (wanted_.empty()) {
      throw TransferError{
          TransferError::Kind::broken,
          fmt::format("{} holds no manifest, and so no model; what is imported is an "
                      "archive or a folder of `ollamafs`, or a models folder",
                      sources_shown())};
    }
    name_them();
    std::ranges::sort(wanted_, {},
                      [](const Wanted& wanted) { return wanted.source.name->display(); });
    for (const Wanted& wanted : wanted_) refuse_incomplete(wanted.source);
  }

  void name_them() {
    if (options_.name && wanted_.size() > 1) {
      throw TransferError{
          TransferError::Kind::usage,
          fmt::format("--name names one model, and {} has {}", sources_shown(), wanted_.size())};
    }
    for (Wanted& wanted : wanted_) {
      if (options_.name) wanted.source.name = options_.name;
      if (wanted.source.name) continue;
      throw TransferError{TransferError::Kind::usage,
                          fmt::format("{} does not say what the model is called: give --name NAME",
                                      wanted.source.member)};
    }
  }

  // Whether a source, or the store, seems to have the blob.
  [[nodiscard]] bool may_have(const BlobRef& ref) const {
    if (const auto right = intake_.right_size(ref.digest)) return right == ref.size;
    const auto in_source = in_sources_.find(ref.digest);
    if (in_source != in_sources_.end()) return !in_source->second || in_source->second == ref.size;
    return intake_.size_there(ref.digest) == ref.size;
  }

  void refuse_incomplete(const SourceModel& model) const {
    constexpr std::size_t most = 10;
    std::string lacking;
    std::size_t count = 0;
    for (const BlobRef& ref : model.manifest->blobs) {
      if (may_have(ref)) continue;
      if (++count <= most) lacking += lacking_line(ref);
    }
    if (count == 0) return;
    if (count > most) lacking += fmt::format("\n  and {} more", count - most);
    throw TransferError{
        TransferError::Kind::broken,
        fmt::format("{} is not whole; what lacks, also in the store:{}", model.member, lacking)};
  }

  [[nodiscard]] std::string lacking_line(const BlobRef& ref) const {
    const auto in_source = in_sources_.find(ref.digest);
    const auto right = intake_.right_size(ref.digest);
    const auto found = right ? right : in_source == in_sources_.end() ? right : in_source->second;
    return fmt::format("\n  blob {}, {} bytes{}", ref.digest.blob_name(), ref.size,
                       found ? fmt::format(" (there it has {})", *found) : std::string{});
  }

  // A manifest blob of the store, if it is what its name says; else nothing.
  [[nodiscard]] std::string stored_manifest(const Digest& digest) const {
    if (!target_.dir) return {};
    std::error_code ec;
    FileContent content = read_file(*target_.dir, digest.blob_path(), kMaxManifestBytes, ec);
    if (ec || Digest::of(content.bytes) != digest) return {};
    return std::move(content.bytes);
  }

  void place_models() {
    catalog_ = target_.dir ? Catalog::read(*target_.dir) : Catalog::empty();
    for (Wanted& wanted : wanted_) {
      wanted.place =
          place_model(*catalog_, *wanted.source.name, wanted.source.manifest->digest, taken_);
    }
  }

  // ---- their blobs ----

  [[nodiscard]] std::map<Digest, std::uint64_t> named_blobs() const {
    std::map<Digest, std::uint64_t> blobs;
    for (const Wanted& wanted : wanted_) {
      for (const BlobRef& ref : wanted.source.manifest->blobs) blobs.insert({ref.digest, ref.size});
    }
    return blobs;
  }

  // The blobs that have to be taken out of the sources, ascending.
  [[nodiscard]] std::vector<Digest> needed_from_sources() {
    std::vector<Digest> needed;
    std::uint64_t bytes = 0;
    std::uint64_t all_bytes = 0;
    const auto blobs = named_blobs();
    for (const auto& [digest, size] : blobs) all_bytes += size;
    progress_.expect(all_bytes, blobs.size());
    for (const auto& [digest, size] : blobs) {
      if (intake_.has(digest, size)) continue;
      if (target_.writer) require_large_files(*target_.writer, digest, size);
      needed.push_back(digest);
      bytes += size;
    }
    if (target_.writer && bytes > 0) {
      const std::uint64_t room = target_.writer->room();
      if (bytes > room) refuse_for_room(*target_.writer, bytes, room);
    }
    if (options_.dry_run) needed_ = {needed.size(), bytes};
    return needed;
  }

  void take_needed(std::vector<Digest> needed) {
    if (needed.empty()) return;
    for (const auto& source : sources_) {
      source->rewind();
      while (const auto member = source->next()) {
        if (member->kind != Member::Kind::blob || member->same_as) continue;
        const auto at = std::ranges::lower_bound(needed, *member->digest);
        if (at == needed.end() || *at != *member->digest) continue;
        intake_.take(*source, *member, inventory_);
        needed.erase(at);
        if (needed.empty()) return;
      }
    }
  }

  // All that the manifests name must be there now, and right. What was found there long ago looks
  // new once more: a server that starts leaves it for an hour.
  void check_blobs(bool is_guess) {
    for (const Wanted& wanted : wanted_) {
      for (const BlobRef& ref : wanted.source.manifest->blobs) {
        if (is_guess && may_have(ref)) continue;
        if (intake_.has(ref.digest, ref.size)) continue;
        throw TransferError{
            TransferError::Kind::broken,
            fmt::format("{} is not whole: blob {} of {} bytes is in no source, and the store's "
                        "own is damaged or of another size",
                        wanted.source.member, ref.digest.blob_name(), ref.size)};
      }
    }
    if (options_.dry_run) return;
    for (const auto& [digest, size] : named_blobs()) target_.writer->touch_blob(digest);
  }

  // A server's clean-up or a prune may have deleted what was found to be right before.
  void require_blobs(const Wanted& wanted, std::string_view outcome) const {
    for (const BlobRef& ref : wanted.source.manifest->blobs) {
      if (intake_.size_there(ref.digest) == ref.size) continue;
      throw TransferError{
          TransferError::Kind::failed,
          fmt::format("{}: blob {} went from the store while the model was imported, as by a "
                      "clean-up; {}: run the same command again",
                      wanted.place.name.display(), ref.digest.blob_name(), outcome)};
    }
  }

  // ---- their manifests ----

  ImportResult write_manifests() {
    StoreWriter& writer = *target_.writer;
    for (const Wanted& wanted : wanted_) {
      const StoredManifest& manifest = *wanted.source.manifest;
      if (!wanted.place.v2.empty()) intake_.put(manifest.digest, manifest.bytes);
    }
    if (intake_.written() > 0) writer.sync_blobs();
    for (const Wanted& wanted : wanted_) require_blobs(wanted, "its manifest is not written");
    for (const Wanted& wanted : wanted_) {
      require_blobs(wanted, "its manifest is not written");
      put_manifest(writer, *target_.dir, wanted.place, wanted.source.manifest->bytes, taken_);
    }
    for (const Wanted& wanted : wanted_) require_blobs(wanted, "it is not whole now");
    return result();
  }

  [[nodiscard]] ImportResult result() const {
    ImportResult result;
    for (const Wanted& wanted : wanted_) {
      result.models.push_back({wanted.place.name, wanted.source.manifest->digest,
                               wanted.place.state, wanted.place.note});
    }
    // What a dry run would write was counted by one of them: by the second if there is one pass.
    result.blobs_written = needed_ ? needed_->first : intake_.written();
    result.bytes_written = needed_ ? needed_->second : intake_.bytes_written();
    const std::size_t named = named_blobs().size();
    result.blobs_there = named - std::min<std::uint64_t>(named, result.blobs_written);
    return result;
  }

  [[nodiscard]] std::string sources_shown() const {
    std::string shown;
    for (const auto& source : sources_) shown += (shown.empty() ? "" : ", ") + source->shown();
    return shown;
  }

  Sources sources_;
  const ImportOptions& options_;
  const TakenName taken_{.replace = options_.replace};
  Progress& progress_;
  Target target_;
  BlobIntake intake_;
  Inventory inventory_;
  std::map<Digest, std::optional<std::uint64_t>> in_sources_;  // blobs, and their sizes if known
  std::vector<Wanted> wanted_;
  std::shared_ptr<const Catalog> catalog_;
  // Blobs and bytes, of a dry run that looks before it reads.
  std::optional<std::pair<std::uint64_t, std::uint64_t>> needed_;
};

}  // namespace

ImportResult import_models(Sources sources, const fs::path& store, const ImportOptions& options,
                           Progress& progress, const WriteCalls& calls) try {
  return Import{std::move(sources), store, options, progress, calls}.run();
} catch (const std::system_error& error) {
  if (error.code() != std::errc::no_space_on_device && error.code().value() != EDQUOT) throw;
  throw TransferError{TransferError::Kind::no_space,
                      fmt::format("{}\nnothing half is left behind; make room, or name a store on "
                                  "another disk with --store",
                                  error.what())};
}

}  // namespace ollamafs
