// What is printed cannot move the cursor, whatever files and arguments are called.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/terminal.hpp"
#include "program.hpp"

namespace gradstab::testing_cli {
namespace {

using cli::printable;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

TEST(PrintableTest, OrdinaryTextStaysAsItIs) {
  for (const char* text : {"", "runs/llm-1m 'x' \\ ~", "Größe µ ≤ 漢字 🙂", "naïve\xc2\xa0text"})
    EXPECT_EQ(printable(text), text);
}

TEST(PrintableTest, WhatATerminalObeysIsShown) {
  EXPECT_EQ(printable("a\x1b[31mred\x07"), "a\\x1b[31mred\\x07");
  EXPECT_EQ(printable("one\ntwo\tthree\r"), "one\\ntwo\\tthree\\r");
  EXPECT_EQ(printable(std::string_view("\0\x7f", 2)), "\\x00\\x7f");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "\\x9b31m")
      << "CSI in one character";
  EXPECT_EQ(printable("safe\xe2\x80\xae"
                      "fdp.exe"),
            "safe\\u202efdp.exe")
      << "right to left";
  EXPECT_EQ(printable("\xe2\x80\xa8\xe2\x81\xa6"), "\\u2028\\u2066");
}

TEST(PrintableTest, WhatIsNoUtf8IsShownByteByByte) {
  EXPECT_EQ(printable("a\x9b"
                      "b\xff"),
            "a\\x9bb\\xff");
  EXPECT_EQ(printable("\xe2\x80"), "\\xe2\\x80") << "a character cut short";
  EXPECT_EQ(printable("\xc0\xaf"), "\\xc0\\xaf") << "a slash in two bytes";
}

TEST(PrintedTextTest, NamesOutOfFilesAndArgumentsAreEscaped) {
  const Folder folder;
  const std::string name = "\x1b[31mred\nand more\xe2\x80\xae";
  const std::string shown = "\\x1b[31mred\\nand more\\u202e";
  const auto clean = [](const std::string& text) {
    return text.find('\x1b') == std::string::npos && text.find("\xe2\x80\xae") == std::string::npos;
  };
  const Outcome trained = folder.run(Folder::train("run", {"--steps", "3", "--name", name}));
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  EXPECT_THAT(trained.out, HasSubstr(shown));
  EXPECT_TRUE(clean(trained.out + trained.err));

  const Outcome report = folder.run({"report", "run", "-o", name + ".html"});
  ASSERT_EQ(report.exit_code, 0) << report.err;
  EXPECT_THAT(report.out, AllOf(HasSubstr("\n" + shown + "  "), HasSubstr("/" + shown + ".html\n")));
  EXPECT_TRUE(clean(report.out));
  // The file has the name that was given.
  EXPECT_TRUE(std::filesystem::exists(folder.path() / (name + ".html")));

  const std::vector<std::vector<std::string>> wrong = {{"report", name},
                                                       {name},
                                                       {"train", "llm", "--lr", name},
                                                       {"train", "llm", "--data", name},
                                                       {"train", "llm", "--resume", name},
                                                       {"replay", "--input", name, "--output", "x"},
                                                       {"reproduce", name},
                                                       {"sweep", "llm", "--over", name, "--output", "s"}};
  for (const auto& command : wrong) {
    const Outcome outcome = folder.run(command);
    EXPECT_NE(outcome.exit_code, 0) << command[0];
    EXPECT_THAT(outcome.err, HasSubstr(shown)) << command[0];
    EXPECT_TRUE(clean(outcome.err)) << command[0];
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
  }
}

TEST(PrintedTextTest, NumbersForMachinesAreNotTouched) {
  const Folder folder;
  const Outcome outcome = folder.run({"bounds", "--json"});
  EXPECT_FALSE(nlohmann::json::parse(outcome.out, nullptr, false).is_discarded());
  EXPECT_THAT(outcome.out, Not(HasSubstr("\\n")));
}

}  // namespace
}  // namespace gradstab::testing_cli
