#include "tests/protocol/fake_kernel.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "fs/kernel/fuse_driver.h"

namespace ollamafs::test {
namespace {

constexpr std::chrono::seconds kPatience{40};

// Replies travel in packets of this size, because without privileges a socket takes none of 1 MiB.
constexpr std::size_t kPacket = 64 << 10;

// libfuse hands no pointer of ours to its hooks, so what they need is global.
std::mutex reply_mutex;
std::atomic<std::uint64_t> refused_unique;
std::atomic<int> end_error;  // what a connection says that is at its end

ssize_t write_reply(int fd, iovec* parts, int count, void*) {
  std::string reply;
  for (const iovec& part : std::span{parts, static_cast<std::size_t>(count)}) {
    reply.append(static_cast<const char*>(part.iov_base), part.iov_len);
  }
  if (decode<fuse_out_header>(reply.substr(0, sizeof(fuse_out_header))).unique == refused_unique) {
    errno = ENOENT;  // as /dev/fuse says it
    return -1;
  }
  const std::scoped_lock lock{reply_mutex};
  for (std::size_t at = 0; at < reply.size(); at += kPacket) {
    const std::size_t size = std::min(kPacket, reply.size() - at);
    if (::send(fd, reply.data() + at, size, MSG_NOSIGNAL) < 0) return -1;
  }
  return static_cast<ssize_t>(reply.size());
}

ssize_t read_request(int fd, void* buffer, size_t size, void*) {
  const ssize_t done = ::read(fd, buffer, size);
  if (done != 0) return done;
  errno = end_error;
  return -1;
}

std::pair<UniqueFd, UniqueFd> socket_pair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) {
    throw std::system_error{errno, std::generic_category(), "socketpair"};
  }
  return {UniqueFd{fds[0]}, UniqueFd{fds[1]}};
}

template <class T>
T must(Answer<T> answer, const std::string& what) {
  if (answer.error == 0) return std::move(answer.value);
  throw std::runtime_error{what + ": " + std::generic_category().message(answer.error)};
}

std::string number(std::uint64_t node) {
  return "node " + std::to_string(node);
}

}  // namespace

FakeKernel::FakeKernel(FileSystem& fs, unsigned threads) : session_{fs, {.fsname = "fake"}} {
  auto [ours, theirs] = socket_pair();
  socket_ = std::move(ours);
  refused_unique = 0;
  fuse_custom_io io{};
  io.writev = write_reply;
  io.read = read_request;
  session_.attach(io, theirs.get());
  (void)theirs.release();  // libfuse closes it
  running_ = std::async(std::launch::async, [this, threads] {
    // However it ends, nobody answers any more, and whoever asks should know.
    struct HangUp {
      int fd;
      ~HangUp() { ::shutdown(fd, SHUT_RDWR); }
    } const hang_up{socket_.get()};
    session_.run(threads);
  });
  receiver_ = std::thread{[this] { receive(); }};
}

FakeKernel::FakeKernel(FileSystem& fs, const Options& options) : FakeKernel{fs, options.threads} {
  if (options.handshake) must(init(kOffersAll), "INIT");
}

FakeKernel::~FakeKernel() {
  disconnect();
  try {
    if (running_.valid()) wait_for_end();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "the session: " << error.what();
  }
  receiver_.join();
  for (const std::string& stray : strays_) ADD_FAILURE() << stray;
}

std::uint64_t FakeKernel::post(std::uint32_t opcode, std::uint64_t node, std::string_view body,
                               bool answered, bool refused) {
  fuse_in_header header{};
  header.len = static_cast<std::uint32_t>(sizeof header + body.size());
  header.opcode = opcode;
  header.nodeid = node;
  header.uid = ::getuid();
  header.gid = ::getgid();
  header.pid = static_cast<std::uint32_t>(::getpid());
  {
    const std::scoped_lock lock{mutex_};
    header.unique = std::exchange(next_unique_, next_unique_ + 2);
    if (answered) pending_.insert(header.unique);
    if (refused) refused_unique = header.unique;
  }
  send_garbage(bytes_of(header).append(body));
  return header.unique;
}

void FakeKernel::send_garbage(std::string_view bytes) {
  if (::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0) {
    throw std::system_error{errno, std::generic_category(), "no session to ask"};
  }
}

std::uint64_t FakeKernel::send(std::uint32_t opcode, std::uint64_t node, std::string_view body) {
  return post(opcode, node, body, true);
}

void FakeKernel::send_refused(std::uint32_t opcode, std::uint64_t node, std::string_view body) {
  post(opcode, node, body, false, true);
}

void FakeKernel::tell(std::uint32_t opcode, std::uint64_t node, std::string_view body) {
  post(opcode, node, body, false);
}

void FakeKernel::interrupt(std::uint64_t unique) {
  fuse_in_header header{};
  header.len = sizeof header + sizeof(fuse_interrupt_in);
  header.opcode = FUSE_INTERRUPT;
  header.unique = unique | 1;
  send_garbage(bytes_of(header) + bytes_of(fuse_interrupt_in{unique}));
}

std::uint64_t FakeKernel::next_unique() {
  const std::scoped_lock lock{mutex_};
  return next_unique_;
}

Answer<std::string> FakeKernel::wait(std::uint64_t unique) {
  std::unique_lock lock{mutex_};
  arrived_.wait_for(lock, kPatience, [&] { return over_ || answers_.contains(unique); });
  const auto answer = answers_.extract(unique);
  if (answer.empty()) throw std::runtime_error{"no reply to " + std::to_string(unique)};
  return std::move(answer.mapped());
}

Answer<std::string> FakeKernel::ask(std::uint32_t opcode, std::uint64_t node,
                                    std::string_view body) {
  return wait(send(opcode, node, body));
}

void FakeKernel::receive() {
  std::string packet(kPacket, '\0');
  for (std::string reply;;) {
    const ssize_t size = ::recv(socket_.get(), packet.data(), packet.size(), 0);
    if (size <= 0) break;
    reply.append(packet, 0, static_cast<std::size_t>(size));
    const auto header = decode<fuse_out_header>(reply.substr(0, sizeof(fuse_out_header)));
    if (reply.size() < header.len) continue;
    take(reply);
    reply.clear();
  }
  const std::scoped_lock lock{mutex_};
  over_ = true;
  arrived_.notify_all();
}

void FakeKernel::take(const std::string& reply) {
  const auto header = decode<fuse_out_header>(reply.substr(0, sizeof(fuse_out_header)));
  Answer<std::string> answer{-header.error, reply.substr(sizeof header)};
  const std::scoped_lock lock{mutex_};
  // libfuse answers an interrupt that came too late or too early: "perhaps later".
  if (header.unique & 1 && answer.error == EAGAIN) return;
  const bool well_formed = header.len == reply.size() && answer.error >= 0 &&
                           (answer.error == 0 || answer.value.empty());
  if (!well_formed || pending_.erase(header.unique) == 0) {
    strays_.push_back("a stray reply to " + std::to_string(header.unique) + ", errno " +
                      std::to_string(answer.error));
    return;
  }
  answers_.emplace(header.unique, std::move(answer));
  arrived_.notify_all();
}

std::vector<std::string> FakeKernel::strays() {
  const std::scoped_lock lock{mutex_};
  return strays_;
}

void FakeKernel::settle() {
  must(statfs(), "statfs");  // which holds no node, and so no snapshot, behind its own reply
}

void FakeKernel::disconnect(int error) {
  end_error = error;
  ::shutdown(socket_.get(), SHUT_WR);
}

void FakeKernel::wait_for_end() {
  if (running_.wait_for(kPatience) != std::future_status::ready) {
    throw std::runtime_error{"the session does not end"};
  }
  running_.get();
}

Answer<fuse_init_out> FakeKernel::init(std::uint32_t offers) {
  fuse_init_in in{};
  in.major = FUSE_KERNEL_VERSION;
  in.minor = FUSE_KERNEL_MINOR_VERSION;
  in.max_readahead = 128 << 10;
  in.flags = offers;
  return decode_answer<fuse_init_out>(ask(FUSE_INIT, 0, bytes_of(in)));
}

Answer<fuse_entry_out> FakeKernel::lookup(std::uint64_t parent, std::string_view name) {
  return decode_answer<fuse_entry_out>(ask(FUSE_LOOKUP, parent, lookup_body(name)));
}

Answer<fuse_attr_out> FakeKernel::getattr(std::uint64_t node) {
  return decode_answer<fuse_attr_out>(ask(FUSE_GETATTR, node, getattr_body()));
}

Answer<fuse_open_out> FakeKernel::open(std::uint64_t node, int flags) {
  return decode_answer<fuse_open_out>(ask(FUSE_OPEN, node, open_body(flags)));
}

Answer<std::string> FakeKernel::read(std::uint64_t node, std::uint64_t handle, std::uint64_t offset,
                                     std::uint32_t size) {
  return ask(FUSE_READ, node, read_body(handle, offset, size));
}

int FakeKernel::release(std::uint64_t node, std::uint64_t handle) {
  return ask(FUSE_RELEASE, node, release_body(handle)).error;
}

Answer<fuse_open_out> FakeKernel::opendir(std::uint64_t node) {
  return decode_answer<fuse_open_out>(ask(FUSE_OPENDIR, node, open_body(O_RDONLY | O_DIRECTORY)));
}

Answer<std::vector<ListedName>> FakeKernel::readdir(std::uint64_t node, std::uint64_t offset,
                                                    std::uint32_t size) {
  return decode_listing(ask(FUSE_READDIR, node, read_body(0, offset, size)), false);
}

Answer<std::vector<ListedName>> FakeKernel::readdirplus(std::uint64_t node, std::uint64_t offset,
                                                        std::uint32_t size) {
  return decode_listing(ask(FUSE_READDIRPLUS, node, read_body(0, offset, size)), true);
}

int FakeKernel::releasedir(std::uint64_t node) {
  return ask(FUSE_RELEASEDIR, node, release_body(0)).error;
}

Answer<fuse_statfs_out> FakeKernel::statfs() {
  return decode_answer<fuse_statfs_out>(ask(FUSE_STATFS, FUSE_ROOT_ID));
}

Answer<std::string> FakeKernel::getxattr(std::uint64_t node, const std::string& name,
                                         std::uint32_t size) {
  return ask(FUSE_GETXATTR, node, getxattr_body(size) + name + '\0');
}

Answer<std::string> FakeKernel::listxattr(std::uint64_t node, std::uint32_t size) {
  return ask(FUSE_LISTXATTR, node, getxattr_body(size));
}

std::uint64_t FakeKernel::walk(const std::filesystem::path& path) {
  std::uint64_t node = FUSE_ROOT_ID;
  for (const auto& part : path) node = must(lookup(node, part.string()), path.string()).nodeid;
  return node;
}

std::vector<ListedName> FakeKernel::list(std::uint64_t node) {
  std::vector<ListedName> all;
  for (std::uint64_t offset = 0;; offset = all.back().next) {
    const auto some = must(readdirplus(node, offset), number(node));
    if (some.empty()) break;
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

std::string FakeKernel::content(std::uint64_t node) {
  const std::uint64_t handle = must(open(node), number(node)).fh;
  std::string all;
  for (;;) {
    const std::string some = must(read(node, handle, all.size(), 128 << 10), number(node));
    if (some.empty()) break;
    all += some;
  }
  if (release(node, handle) != 0) throw std::runtime_error{"release"};
  return all;
}

}  // namespace ollamafs::test
