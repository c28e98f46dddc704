// Running the program in a child process.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace gradstab::testing_cli {

struct Outcome {
  int exit_code = -1;  ///< 128 + signal number if a signal ended it
  std::string out;
  std::string err;
};

/// A process that is still running.
class Child {
 public:
  Child(const std::vector<std::string>& arguments, const std::filesystem::path& folder,
        bool limit_file_size = false);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  void signal(int number) const;
  Outcome wait();
  bool running();

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

  /// `train llm` on the small corpus with a small batch, then `more`; later flags win by being given only
  /// once.
  static std::vector<std::string> train(const std::string& output, const std::vector<std::string>& more = {});

 private:
  std::filesystem::path path_;
};

std::string read(const std::filesystem::path& path);
void write(const std::filesystem::path& path, const std::string& bytes);

/// Waits until `done` holds; false after a minute.
bool wait_until(const std::function<bool()>& done);

}  // namespace gradstab::testing_cli
