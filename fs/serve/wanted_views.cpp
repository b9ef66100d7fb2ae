#include "fs/serve/wanted_views.h"

#include <sys/eventfd.h>

#include <cerrno>
#include <system_error>

namespace ollamafs {

WantedViews::WantedViews() : news_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)} {
  if (!news_) throw std::system_error{errno, std::generic_category(), "eventfd"};
}

void WantedViews::want(View view) noexcept {
  ViewSet before = wanted_.load();
  ViewSet after = before;
  do {
    if (before.has(view)) return;
    after = before;
    after.add(view);
  } while (!wanted_.compare_exchange_weak(before, after));
  ::eventfd_write(news_.get(), 1);
}

ViewSet WantedViews::all() const noexcept {
  return wanted_.load();
}

}  // namespace ollamafs
