#include "src/mount/log.h"

#include <fmt/format.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/sinks/syslog_sink.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <string_view>
#include <vector>

#include "fs/kernel/session.h"
#include "src/say/exit_status.h"
#include "store/base/text.h"

namespace ollamafs {
namespace {

// "warning: ", "error: "; nothing before what is only told.
class LevelFlag final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& out) override {
    std::string_view flag;
    if (message.level == spdlog::level::warn) flag = "warning: ";
    if (message.level >= spdlog::level::err) flag = "error: ";
    out.append(flag.data(), flag.data() + flag.size());
  }
  [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<LevelFlag>();
  }
};

std::unique_ptr<spdlog::formatter> formatter(const std::string& pattern) {
  auto result = std::make_unique<spdlog::pattern_formatter>();
  result->add_flag<LevelFlag>('*').set_pattern(pattern);
  return result;
}

spdlog::sink_ptr open_log_file(const std::filesystem::path& path) try {
  auto file = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path.string());
  file->set_formatter(formatter("%Y-%m-%dT%H:%M:%S%z ollamafs[%P]: %*%v"));
  return file;
} catch (const spdlog::spdlog_ex& error) {
  throw CommandError{
      fmt::format("the log file {}: {}", printable(path.string()), printable(error.what()))};
}

}  // namespace

Log::Log(const Options& options)
    : sinks_{std::make_shared<spdlog::sinks::dist_sink_mt>()},
      logger_{std::make_shared<spdlog::logger>("ollamafs", sinks_)} {
  const auto terminal = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  terminal->set_formatter(formatter("ollamafs: %*%v"));
  if (options.quiet) terminal->set_level(spdlog::level::warn);
  sinks_->add_sink(terminal);
  if (!options.file.empty()) {
    file_ = open_log_file(options.file);
    sinks_->add_sink(file_);
  }
  logger_->set_level(options.debug ? spdlog::level::debug : spdlog::level::info);
  logger_->flush_on(spdlog::level::trace);
  spdlog::set_default_logger(logger_);
  set_libfuse_log([](bool error, const std::string& line) {
    spdlog::log(error ? spdlog::level::warn : spdlog::level::debug, "{}", line);
  });
}

void Log::leave_terminal() {
  if (file_) {
    sinks_->set_sinks({file_});
    return;
  }
  const auto syslog =
      std::make_shared<spdlog::sinks::syslog_sink_mt>("ollamafs", LOG_PID, LOG_DAEMON, true);
  syslog->set_formatter(formatter("%*%v"));
  sinks_->set_sinks({syslog});
}

}  // namespace ollamafs
