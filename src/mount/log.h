#pragma once

#include <spdlog/logger.h>
#include <spdlog/sinks/dist_sink.h>

#include <filesystem>
#include <memory>

namespace ollamafs {

// Where the command says what happens: on stderr as long as somebody is there to read it, in the
// system's log afterwards, or in a file from the beginning. Never a line per request, unless with
// `debug`. Takes libfuse's messages too, for which it is spdlog's default logger: libfuse's log
// function has no place for a pointer of ours. Safe to use from several threads.
class Log {
 public:
  struct Options {
    bool debug = false;            // more lines
    bool quiet = false;            // on stderr only what is wrong
    std::filesystem::path file{};  // empty: none
  };

  // Lines on stderr: "ollamafs: text", "ollamafs: warning: text". In the file each has the time.
  // Throws CommandError if the file cannot be written.
  explicit Log(const Options& options);

  // From now on to the file alone or, where there is none, to syslog, which the journal reads too.
  void leave_terminal();

  [[nodiscard]] spdlog::logger& operator*() const noexcept { return *logger_; }
  [[nodiscard]] spdlog::logger* operator->() const noexcept { return logger_.get(); }

 private:
  std::shared_ptr<spdlog::sinks::dist_sink_mt> sinks_;
  spdlog::sink_ptr file_;  // nullptr: none
  std::shared_ptr<spdlog::logger> logger_;
};

}  // namespace ollamafs
