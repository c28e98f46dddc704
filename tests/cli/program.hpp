// Running the program in a child process.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace gradstab::testing_cli {

struct Outcome {
  int exit_code = -1;  ///< 128 + signal number if a signal ended it
  std::string out;
  std::string err;
};

/// What a process is started with.
struct Surroundings {
  bool limit_file_size = false;  ///< writing a checkpoint fails, as on a full disk
  bool ignore_hangup = false;    ///< as nohup does
  /// Where its output goes: a file of the test, unless a path is given.
  std::filesystem::path out{}, err{};
  std::vector<int> closed{};                                     ///< descriptors that it is started without
  std::vector<std::pair<std::string, std::string>> variables{};  ///< of its environment, beside ours
  std::filesystem::path terminal{};  ///< that it is started from, for all three descriptors; none if empty
};

/// A process that is still running.
class Child {
 public:
  Child(const std::vector<std::string>& arguments, const std::filesystem::path& folder,
        bool limit_file_size = false);
  Child(const std::vector<std::string>& arguments, const std::filesystem::path& folder,
        const Surroundings& around);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  void signal(int number) const;
  Outcome wait();
  bool running();
  pid_t pid() const noexcept { return pid_; }

 private:
  pid_t pid_ = -1;
  int status_ = 0;
  std::filesystem::path out_, err_;
};

/// A folder of its own for each test, with a small corpus in corpus.txt and the token cache inside.
class Folder {
 public:
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::filesystem::path& path() const { return path_; }

  Outcome run(const std::vector<std::string>& arguments) const { return Child(arguments, path_).wait(); }
  Outcome run(const std::vector<std::string>& arguments, const Surroundings& around) const {
    return Child(arguments, path_, around).wait();
  }

  /// `train llm` on the small corpus with a small batch, then `more`; later flags win by being given only
  /// once.
  static std::vector<std::string> train(const std::string& output, const std::vector<std::string>& more = {});

 private:
  std::filesystem::path path_;
};

std::string read(const std::filesystem::path& path);
void write(const std::filesystem::path& path, const std::string& bytes);

/// A series as CSV, an hour from row to row: two waves and their sum, with something irregular on top.
std::string hourly_table(int rows);

/// Waits until `done` holds; false after a minute.
bool wait_until(const std::function<bool()>& done);

}  // namespace gradstab::testing_cli
