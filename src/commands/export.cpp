#include "store/transfer/export.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdio>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "src/commands/commands.h"
#include "src/commands/common_options.h"
#include "src/commands/transfer_status.h"
#include "src/say/exit_status.h"
#include "src/say/human.h"
#include "src/say/interrupt.h"
#include "src/say/output.h"
#include "src/say/progress.h"
#include "src/store/had_blobs.h"
#include "src/store/named_models.h"
#include "src/store/store_arguments.h"
#include "store/base/text.h"
#include "store/base/unique_fd.h"
#include "store/transfer/byte_sink.h"
#include "store/transfer/transfer_error.h"

namespace ollamafs {

namespace fs = std::filesystem;

namespace {

const std::map<std::string, ExportFormat> kExportFormats = {{"tar", ExportFormat::tar},
                                                            {"tar.zst", ExportFormat::tar_zst},
                                                            {"tar.gz", ExportFormat::tar_gz},
                                                            {"dir", ExportFormat::folder}};

std::string word_for(ExportFormat format) {
  for (const auto& [name, value] : kExportFormats) {
    if (value == format) return name;
  }
  return {};
}

// Where the bytes go, once all options are known.
struct ExportTarget {
  enum class Kind { file, folder, stdout, stream };

  Kind kind = Kind::file;
  ExportFormat format = ExportFormat::tar;
  fs::path path{};
};

// By one of its names, or as the pipe or device that it is: opened a second time, it would have the
// report among its bytes.
bool is_stdout(const std::string& output) {
  for (const char* const name : {"-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"}) {
    if (output == name) return true;
  }
  struct stat named {
  }, open{};
  return ::stat(output.c_str(), &named) == 0 && ::fstat(STDOUT_FILENO, &open) == 0 &&
         (S_ISFIFO(named.st_mode) || S_ISCHR(named.st_mode)) && named.st_dev == open.st_dev &&
         named.st_ino == open.st_ino;
}

ExportTarget target_of(const std::string& output, const std::string& format,
                       const std::vector<const Model*>& models) {
  ExportTarget target;
  const auto by_name = format_of(output);
  target.format = format.empty() ? by_name.value_or(ExportFormat::tar) : kExportFormats.at(format);
  target.path = output.empty() ? fs::path{export_name(models, target.format)} : fs::path{output};
  if (target.format == ExportFormat::folder) {
    if (is_stdout(output))
      throw CommandError{"a directory cannot be written to a pipe; use another --format",
                         ExitStatus::usage};
    target.kind = ExportTarget::Kind::folder;
    return target;
  }
  if (is_stdout(output)) {
    target.kind = ExportTarget::Kind::stdout;
    return target;
  }
  struct stat st {};
  const bool exists = ::stat(target.path.c_str(), &st) == 0;
  if (output.ends_with('/') || (exists && S_ISDIR(st.st_mode))) {
    target.path /= export_name(models, target.format);
  } else if (exists && (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode))) {
    target.kind = ExportTarget::Kind::stream;
  } else if (exists && !S_ISREG(st.st_mode)) {
    throw CommandError{fmt::format("{} is neither a file nor a pipe", printable(output)),
                       ExitStatus::refused};
  }
  return target;
}

void refuse_terminal(int fd) {
  if (::isatty(fd) != 1) return;
  throw CommandError{
      "an archive is not written to a terminal\nlead it into a pipe, or name a file with -o",
      ExitStatus::refused};
}

void print_members(const ExportSource& source) {
  for (const ArchiveMember& member : source.members)
    fmt::print("{:>15}  {}\n", member.size, printable(member.path));
}

nlohmann::ordered_json json_of(const std::vector<const Model*>& models) {
  auto json = nlohmann::ordered_json::array();
  for (const Model* model : models) {
    json.push_back({{"name", model->shown},
                    {"id", model->manifest->digest.id()},
                    {"digest", model->manifest->digest.to_string()},
                    {"size", model->manifest->listed_size}});
  }
  return json;
}

nlohmann::ordered_json json_of(const ExportSource& source) {
  auto json = nlohmann::ordered_json::array();
  for (const ArchiveMember& member : source.members) {
    json.push_back(
        {{"path", member.path}, {"size", member.size}, {"digest", member.digest.to_string()}});
  }
  return json;
}

class Export final : public Command {
 public:
  Export() : Command{"export", "Write models to a tar, a directory or a pipe"} {}

  void add_options(CLI::App& app) override {
    app.add_option("MODEL", names_, "Names as in `ollama list`, also with wildcards")
        ->required()
        ->type_name("");
    app.add_option("-o,--output", output_, "The file, a directory for it, or - for a pipe")
        ->type_name("FILE")
        ->check([](const std::string& value) { return value.empty() ? "may not be empty" : ""; });
    app.add_option("--format", format_, "tar, tar.zst, tar.gz or dir (default: by the name)")
        ->type_name("FORMAT")
        ->check(CLI::IsMember{kExportFormats});
    app.add_option("--have", have_, "Leave out blobs that a folder or a list has")
        ->type_name("DIR|LIST|-");
    app.add_flag("--force", force_, "Replace what is there");
    app.add_flag("--dry-run", dry_run_, "Only print what would be written");
    add_quiet(app, quiet_, "Show no progress, and say nothing of what went well");
    add_json(app, json_);
    add_store_arguments(app, arguments_);
  }

  ExitStatus run() override try {
    std::vector<std::string> words{"export"};
    words.insert(words.end(), names_.begin(), names_.end());
    const ChosenStore store = open_store(arguments_, words);
    const auto catalog = Catalog::read(store.dir);
    const std::vector<const Model*> models = named_models(*catalog, names_);
    const ExportTarget target = target_of(output_, format_, models);
    BlobPool pool{store.dir, {}};
    const ExportSource source = open_export(pool, *catalog, models, left_out(models));
    if (!dry_run_) write(source, target);
    report(source, target, models);
    return ExitStatus::ok;
  } catch (const TransferError& error) {
    throw command_error(error);
  }

 private:
  [[nodiscard]] std::set<Digest> left_out(const std::vector<const Model*>& models) const {
    return have_.empty() ? std::set<Digest>{} : had_blobs(have_, models);
  }

  void write(const ExportSource& source, const ExportTarget& target) {
    if (target.kind == ExportTarget::Kind::stdout) {
      if (json_)
        throw CommandError{"--json would be written among the bytes of -o -", ExitStatus::usage};
      refuse_terminal(STDOUT_FILENO);
    }
    const InterruptGuard guard;
    const auto progress = make_progress(quiet_);
    try {
      write(source, target, *progress);
    } catch (const Interrupted&) {
      throw CommandError{"interrupted; " + what_is_left(target), ExitStatus::interrupted};
    }
  }

  void write(const ExportSource& source, const ExportTarget& target, Progress& progress) {
    const WriteCalls& calls = WriteCalls::kernel();
    switch (target.kind) {
      case ExportTarget::Kind::folder:
        return write_to_folder(source, target, progress);
      case ExportTarget::Kind::stdout:
        return export_to_descriptor(source, target.format, STDOUT_FILENO, "standard output", calls,
                                    progress);
      case ExportTarget::Kind::stream:
        return write_to_stream(source, target, progress);
      default:
        return export_to_file(source, target.format, target.path, force_, calls, progress);
    }
  }

  void write_to_folder(const ExportSource& source, const ExportTarget& target, Progress& progress) {
    notes_ = export_to_folder(source, target.path, force_, WriteCalls::kernel(), progress);
    if (quiet_) return;
    for (const std::string& note : notes_) fmt::print(stderr, "ollamafs: {}\n", note);
  }

  static void write_to_stream(const ExportSource& source, const ExportTarget& target,
                              Progress& progress) {
    const WriteCalls& calls = WriteCalls::kernel();
    const std::string name = printable(target.path.native());
    int fd = -1;
    while ((fd = calls.openat(AT_FDCWD, target.path.c_str(), O_WRONLY | O_NOCTTY | O_CLOEXEC, 0)) <
               0 &&
           errno == EINTR) {
      progress.add(0);
    }
    const UniqueFd stream{fd};
    if (!stream) throw_write_failure(name, errno);
    refuse_terminal(stream.get());
    export_to_descriptor(source, target.format, stream.get(), name, calls, progress);
  }

  static std::string what_is_left(const ExportTarget& target) {
    const std::string path = printable(target.path.native());
    switch (target.kind) {
      case ExportTarget::Kind::folder:
        return "what is in " + path + " by now is whole; the same command goes on from there";
      case ExportTarget::Kind::file:
        if (target.format != ExportFormat::tar) return "no file was left";
        return fmt::format("{0} was not made; the same command goes on with {0}.part", path);
      default:
        return "what was written to the pipe is not whole";
    }
  }

  void report(const ExportSource& source, const ExportTarget& target,
              const std::vector<const Model*>& models) const {
    if (json_) {
      nlohmann::ordered_json json = {{"format", word_for(target.format)},
                                     {"models", json_of(models)}};
      if (target.kind != ExportTarget::Kind::stdout) json["path"] = target.path.native();
      json["tar_size"] = source.size();
      json["members"] = json_of(source);
      json["notes"] = notes_;
      print_json(json);
    } else if (dry_run_) {
      print_members(source);
    } else if (!quiet_ && target.kind != ExportTarget::Kind::stdout) {
      for (const Model* model : models) {
        fmt::print("{}  {}  {}\n", model->shown, model->manifest->digest.id(),
                   printable(target.path.native()));
      }
    }
    end_output();
  }

  StoreArguments arguments_;
  std::vector<std::string> names_;
  std::string output_, format_, have_;
  std::vector<std::string> notes_;  // what an entry of the newer manifest tree hides, and the like
  bool force_ = false, dry_run_ = false, quiet_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_export() {
  return std::make_unique<Export>();
}

}  // namespace ollamafs
