#include "store/upkeep/hash_crew.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <numeric>
#include <thread>
#include <utility>

#include "store/base/text.h"
#include "store/folder/read_file.h"

namespace ollamafs {
namespace {

constexpr std::size_t kHashPiece = 1u << 20;

class HashCrew {
 public:
  HashCrew(const StoreDir& store, std::vector<HashJob>& jobs, Progress& progress)
      : store_{store}, jobs_{jobs}, progress_{progress}, order_(jobs.size()) {
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    std::ranges::stable_sort(order_, std::ranges::greater{},
                             [&](std::size_t i) { return jobs_[i].expected; });
  }

  void run() {
    {
      std::vector<std::jthread> threads;
      const std::size_t processors = std::max(1u, std::thread::hardware_concurrency());
      begin(threads, std::min(processors, jobs_.size()));
      tell();
    }
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  // Threads look at the number of those that work from their first moment on. One that cannot be
  // begun ends the others.
  void begin(std::vector<std::jthread>& threads, std::size_t count) {
    threads.reserve(count);
    {
      const std::scoped_lock lock{mutex_};
      working_ = count;
    }
    try {
      while (threads.size() < count) threads.emplace_back([this] { work(); });
    } catch (...) {
      const std::scoped_lock lock{mutex_};
      working_ -= count - threads.size();
      if (!failure_) failure_ = std::current_exception();
    }
  }

  // Of a thread. The first that fails ends all others.
  void work() {
    try {
      const auto buffer = std::make_unique_for_overwrite<char[]>(kHashPiece);
      while (HashJob* const job = next()) hash(*job, buffer.get());
    } catch (...) {
      const std::scoped_lock lock{mutex_};
      if (!failure_) failure_ = std::current_exception();
    }
    const std::scoped_lock lock{mutex_};
    --working_;
    changed_.notify_all();
  }

  HashJob* next() {
    const std::scoped_lock lock{mutex_};
    if (failure_ || begun_ == order_.size()) return nullptr;
    HashJob& job = jobs_[order_[begun_++]];
    names_.push_back(job.path);
    changed_.notify_all();
    return &job;
  }

  [[nodiscard]] bool has_failed() {
    const std::scoped_lock lock{mutex_};
    return failure_ != nullptr;
  }

  // Of the thread that began: names are told by it alone.
  void tell() {
    std::unique_lock lock{mutex_};
    while (true) {
      changed_.wait(lock, [this] { return working_ == 0 || !names_.empty(); });
      if (names_.empty()) return;
      const std::string name = std::move(names_.front());
      names_.pop_front();
      lock.unlock();
      tell(name);
      lock.lock();
    }
  }

  void tell(const std::string& path) {
    try {
      progress_.next(printable(path));
    } catch (...) {
      const std::scoped_lock lock{mutex_};
      if (!failure_) failure_ = std::current_exception();
    }
  }

  void hash(HashJob& job, char* buffer) {
    hash_once(job, buffer, true);
    if (job.error || !job.has_changed || job.digest == job.name) return;
    hash_once(job, buffer, false);
  }

  void hash_once(HashJob& job, char* buffer, bool is_first) {
    job.size = 0;
    const StoreDir::Opened file = store_.open_file(job.path, job.error);
    if (!job.error) job.identity = look(file.fd.get(), job.error);
    refuse_shortage(store_, job.path, job.error);
    if (job.error) return;
    ::posix_fadvise(file.fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
    Hasher hasher;
    while (!has_failed()) {
      const std::size_t size =
          read_fully(store_.calls(), file.fd.get(), buffer, kHashPiece, job.size, job.error);
      refuse_shortage(store_, job.path, job.error);
      if (job.error) return;
      hasher.add({buffer, size});
      job.size += size;
      progress_.add(is_first ? size : 0);
      if (size < kHashPiece) break;
    }
    job.digest = hasher.finish();
    job.has_changed = look(file.fd.get(), job.error) != job.identity;
  }

  [[nodiscard]] FileIdentity look(int fd, std::error_code& ec) const {
    struct stat st {};
    if (store_.calls().fstat(fd, st) != 0) ec = {errno, std::generic_category()};
    return FileIdentity::of(st);
  }

  const StoreDir& store_;
  std::vector<HashJob>& jobs_;
  Progress& progress_;
  std::vector<std::size_t> order_;  // indexes of jobs_

  std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  std::size_t begun_ = 0;
  std::size_t working_ = 0;        // threads
  std::deque<std::string> names_;  // of jobs that were begun, to be told
  std::exception_ptr failure_;
};

}  // namespace

void hash_files(const StoreDir& store, std::vector<HashJob>& jobs, Progress& progress) {
  HashCrew{store, jobs, progress}.run();
}

}  // namespace ollamafs
