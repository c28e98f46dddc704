#include "program.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <thread>

namespace gradstab::testing_cli {
namespace {

int number_of_children = 0;

/// Enough for a summary and too little for a checkpoint of the smallest model.
constexpr rlim_t kSmallFile = 64 * 1024;

}  // namespace

Child::Child(const std::vector<std::string>& arguments, const std::filesystem::path& folder,
             bool limit_file_size)
    : Child(arguments, folder, Surroundings{.limit_file_size = limit_file_size}) {}

Child::Child(const std::vector<std::string>& arguments, const std::filesystem::path& folder,
             const Surroundings& around) {
  const std::string number = std::to_string(++number_of_children);
  out_ = folder / ("stdout" + number);
  err_ = folder / ("stderr" + number);
  const std::string out = around.out.empty() ? out_ : around.out;
  const std::string err = around.err.empty() ? err_ : around.err;
  std::vector<std::string> words = {GRADSTAB_PROGRAM};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const std::string cache = folder / "cache";
  pid_ = fork();
  if (pid_ != 0) return;
  if (around.limit_file_size) {
    // Writing beyond the limit then fails with an error, as on a full disk, instead of a signal.
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{kSmallFile, kSmallFile};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  if (around.ignore_hangup) ::signal(SIGHUP, SIG_IGN);
  setenv("GRADSTAB_CACHE", cache.c_str(), 1);
  setenv("OMP_WAIT_POLICY", "passive", 1);  // tests share the machine
  for (const auto& [name, value] : around.variables) setenv(name.c_str(), value.c_str(), 1);
  if (chdir(folder.c_str()) != 0) _exit(99);
  if (around.terminal.empty()) {
    dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
    dup2(open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644), STDOUT_FILENO);
    dup2(open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644), STDERR_FILENO);
  } else {
    // The first terminal that the leader of a session opens becomes the session's.
    setsid();
    const int terminal = open(around.terminal.c_str(), O_RDWR);
    for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(terminal, descriptor);
    setenv("TERM", "xterm", 1);
  }
  for (int descriptor = STDERR_FILENO + 1; descriptor < 64; ++descriptor) close(descriptor);
  for (const int descriptor : around.closed) close(descriptor);
  execv(argv[0], argv.data());
  _exit(98);
}

Child::~Child() {
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, &status_, 0);
}

void Child::signal(int number) const {
  kill(pid_, number);
}

bool Child::running() {
  if (pid_ <= 0) return false;
  if (waitpid(pid_, &status_, WNOHANG) == 0) return true;
  pid_ = -1;
  return false;
}

Outcome Child::wait() {
  if (pid_ > 0) waitpid(pid_, &status_, 0);
  pid_ = -1;
  const int code = WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
  return {code, read(out_), read(err_)};
}

Folder::Folder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "gradstab-cli-XXXXXX").string();
  path_ = mkdtemp(pattern.data());
  std::string text;
  unsigned state = 1;
  for (int document = 0; document < 400; ++document) {
    for (int word = 0; word < 40; ++word) {
      state = state * 1664525u + 1013904223u;
      text += "word" + std::to_string(state >> 26) + (word == 39 ? ".\n\n" : " ");
    }
  }
  write(path_ / "corpus.txt", text);
}

Folder::~Folder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::vector<std::string> Folder::train(const std::string& output, const std::vector<std::string>& more) {
  std::vector<std::string> words = {"train",     "llm", "--data",   "corpus.txt", "--tokenizer",    "bytes",
                                    "--context", "16",  "--batch",  "2",          "--threads",      "1",
                                    "--warmup",  "2",   "--output", output,       "--eval-batches", "2"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void write(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

bool wait_until(const std::function<bool()>& done) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (std::chrono::steady_clock::now() < end) {
    if (done()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return false;
}

std::string hourly_table(int rows) {
  std::ostringstream text;
  text << "date,load,heat,both\n";
  std::uint32_t state = 1;
  for (int row = 0; row < rows; ++row) {
    state = state * 1664525U + 1013904223U;
    const double noise = static_cast<double>(state >> 8U) / 16777216.0 - 0.5;
    const double load = 5 * std::sin(0.26 * row), heat = 20 + std::cos(0.037 * row);
    char date[32];
    std::snprintf(date, sizeof date, "2020-%02d-%02d %02d:00:00", row / 24 / 28 + 1, row / 24 % 28 + 1,
                  row % 24);
    text << date << ',' << load + noise << ',' << heat << ',' << load + heat - noise << '\n';
  }
  return text.str();
}

}  // namespace gradstab::testing_cli
