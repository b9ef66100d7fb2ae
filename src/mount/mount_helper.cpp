#include "src/mount/mount_helper.h"

#include <fmt/format.h>
#include <unistd.h>

#include <string>

#include "store/base/text.h"

namespace ollamafs {
namespace {

constexpr const char* kHelperUsage = "usage: mount.ollamafs STORE DIR [-sfnv] [-o OPTIONS]";

[[noreturn]] void refuse_call(const std::string& message) {
  throw CommandError{message, ExitStatus::usage};
}

void take_option(MountArguments& arguments, int option) {
  switch (option) {
    case 's':
      arguments.rules.skip_unknown = true;
      break;
    case 'f':
      arguments.fake = true;
      break;
    case 'v':
      arguments.quiet = false;
      break;
    case 'o':
      arguments.options.emplace_back(::optarg);
      break;
    case 'n':  // nobody writes /etc/mtab
    case 't':  // the type, if it has a dot: that of the link
      break;
    case 'N':
      refuse_call(
          "-N: mount it inside, with `nsenter --mount=NAMESPACE mount -t ollamafs STORE DIR`");
    default:
      refuse_call(fmt::format("unknown option, or its value is missing: -{}; {}",
                              printable(std::string(1, static_cast<char>(::optopt))),
                              kHelperUsage));
  }
}

}  // namespace

bool is_mount_helper(const std::filesystem::path& program) {
  const std::filesystem::path name = program.filename();
  return name == "mount.ollamafs" || name == "mount.fuse.ollamafs";
}

MountArguments helper_arguments(int count, char** words) {
  MountArguments arguments;
  arguments.quiet = true;
  arguments.rules.rw_means_nothing = true;
  ::opterr = 0;
  ::optind = 1;
  for (int option = 0; (option = ::getopt(count, words, "sfnvN:o:t:")) != -1;)
    take_option(arguments, option);
  if (count - ::optind != 2) refuse_call(kHelperUsage);
  const std::string store = words[::optind];
  if (store.empty() || words[::optind + 1][0] == '\0') refuse_call(kHelperUsage);
  if (store != "auto") arguments.store = store;
  arguments.mountpoint = words[::optind + 1];
  return arguments;
}

int helper_status(ExitStatus status) noexcept {
  constexpr int wrong_call = 1, interrupted = 8, mount_failed = 32;
  switch (status) {
    case ExitStatus::ok:
      return 0;
    case ExitStatus::usage:
      return wrong_call;
    case ExitStatus::interrupted:
      return interrupted;
    default:
      return mount_failed;
  }
}

}  // namespace ollamafs
