#pragma once

// Room src/say: How the program speaks to a person or a script: exit statuses, sizes, times,
// progress; and how it is interrupted.

#include <stdexcept>
#include <string>

namespace ollamafs {

// What the command's exit status says; the manual page lists them.
enum class ExitStatus : int {
  ok = 0,
  failed = 1,            // tried and could not; the message says why
  usage = 2,             // the command line is not understood
  no_store = 3,          // no store was found, or the one that was named is none
  store_unreadable = 4,  // there is a store, but this user may not read it
  not_found = 5,         // no model, or no source, of that name
  broken = 6,            // a model or an archive is not whole; nothing half is left behind
  no_space = 7,          // the target's disk has not enough room
  refused = 8,           // would overwrite or endanger something; the message says what to do
  interrupted = 130,     // by Ctrl-C or SIGTERM
};

// Ends the command. what() is printable, may have several lines, and says what was wrong, with
// which file, and what to do about it.
class CommandError : public std::runtime_error {
 public:
  explicit CommandError(const std::string& message, ExitStatus status = ExitStatus::failed)
      : std::runtime_error{message}, status_{status} {}

  [[nodiscard]] ExitStatus status() const noexcept { return status_; }

 private:
  ExitStatus status_;
};

}  // namespace ollamafs
