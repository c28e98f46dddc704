// Logs of every kind, each in the form in which its program writes it, made by hand: the names and numbers
// stand where that program has them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "kept_trace.hpp"
#include "lab/inspect/readers/lines.hpp"
#include "lab/inspect/readers/log_number.hpp"
#include "lab/inspect/readers/open.hpp"

namespace gradstab::lab::inspect {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Optional;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// What two records are read as, whatever the kind of log.
void expect_records(const Kept& kept, std::vector<std::int64_t> steps, std::vector<double> norms,
                    std::vector<double> losses) {
  ASSERT_TRUE(kept.status.ok()) << kept.status.message();
  EXPECT_EQ(kept.steps, steps);
  EXPECT_EQ(kept.norms, norms);
  ASSERT_EQ(kept.losses.size(), losses.size());
  for (std::size_t i = 0; i < losses.size(); ++i) EXPECT_THAT(kept.losses[i], Optional(losses[i]));
}

TEST(LogNumberTest, IsANumberAndNothingElse) {
  EXPECT_THAT(log_number("1.5"), Optional(1.5));
  EXPECT_THAT(log_number(" +1.5 "), Optional(1.5));
  EXPECT_THAT(log_number("-2e-3"), Optional(-2e-3));
  EXPECT_THAT(log_number("\"20.751\""), Optional(20.751));
  EXPECT_THAT(log_number("1,234"), Optional(1234.0));
  EXPECT_THAT(log_number("1,234,567.25"), Optional(1234567.25));
  EXPECT_THAT(log_number("Infinity"), Optional(kInfinity));
  EXPECT_THAT(log_number("-inf"), Optional(-kInfinity));
  EXPECT_TRUE(std::isnan(log_number("NaN").value()));
  EXPECT_THAT(log_number("1e400"), Optional(kInfinity));
  EXPECT_THAT(log_number("1e-400"), Optional(0.0));
  EXPECT_THAT(log_number("np.float64(0.4002)"), Optional(0.4002));
  EXPECT_THAT(log_number("tensor(0.5, device='cuda:0')"), Optional(0.5));
  for (const char* text :
       {"", " ", "None", "null", "1,23", "1,2345", "1.5x", "0x10", "info", "nano", "--1", "1 2", "-"})
    EXPECT_EQ(log_number(text), std::nullopt) << text;
}

TEST(ReadersTest, Megatron) {
  Kept kept;
  read_text(
      "[default7]: [2024-01-01] iteration        1/  250000 | consumed samples:          192 | lm loss: "
      "1.121008E+01 | "
      "loss scale: 1.0 | grad norm: 16.406 | num zeros: 0.0 | number of skipped iterations:   0 | number of "
      "nan iterations:   0 |\n"
      "[default7]: [2024-01-01] iteration        2/  250000 | consumed samples:          384 | "
      "loss scale: 1.0 | number of skipped iterations:   1 | number of nan iterations:   0 |\n"
      "[default7]: [2024-01-01] iteration        3/  250000 | consumed samples:          576 | lm loss: "
      "1.0E+01 | "
      "loss scale: 1.0 | grad norm: 1.500 |\n",
      kept);
  expect_records(kept, {1, 3}, {16.406, 1.5}, {11.21008, 10.0});
  EXPECT_EQ(kept.facts.format, "Megatron text log");
  EXPECT_THAT(kept.facts.clipping, HasSubstr("before clipping"));
}

TEST(ReadersTest, TorchtitanWithColoursAndCommasAndTwoRanks) {
  const std::string line =
      "[rank0]:[titan] 2025-01-01 00:00:00,000 - root - INFO - \x1b[31mstep: {}  \x1b[32mloss: 11.75  "
      "\x1b[38;2;180;60;0mgrad_norm: {}  \x1b[34mmemory: 10.00GiB(1.00%)  tps: 6,851  \x1b[39m\n";
  const auto at = [&](const std::string& step, const std::string& norm) {
    std::string text = line;
    text.replace(text.find("{}"), 2, step);
    return text.replace(text.find("{}"), 2, norm);
  };
  Kept kept;
  read_text(at(" 1", "87439263494307840.0000") + at(" 1", "9.0000") + at("1,000", "1,234.5000") +
                at("1,001", "nan"),
            kept);
  ASSERT_TRUE(kept.status.ok()) << kept.status.message();
  EXPECT_THAT(kept.steps, ElementsAre(1, 1000, 1001));
  EXPECT_EQ(kept.norms[0], 87439263494307840.0);
  EXPECT_EQ(kept.norms[1], 1234.5);
  EXPECT_TRUE(std::isnan(kept.norms[2]));
  EXPECT_EQ(kept.facts.repeated, 1) << "another rank's line of the same step";
  EXPECT_EQ(kept.facts.format, "torchtitan text log");
}

TEST(ReadersTest, NanoGptAndLlmC) {
  Kept kept;
  read_text(
      "using device: cuda\nstep     0 | loss: 10.955010 | lr 6.0000e-04 | norm: 15.3420 | dt: 85.1ms | "
      "tok/sec: 6156.1\n"
      "validation loss: 10.9\nstep     1 | loss: 9.500000 | lr 6.0000e-04 | norm: 2.5000 | dt: 85.1ms | "
      "tok/sec: 6156.1\n",
      kept);
  expect_records(kept, {0, 1}, {15.342, 2.5}, {10.95501, 9.5});
  EXPECT_EQ(kept.facts.format, "nanoGPT text log");
  Kept llm;
  read_text("s:0 tel:11.0\ns:0 trl:11.0091 lr:0.000001 norm:15.37\ns:1 trl:10.5 lr:0.000002 norm:14.00\n",
            llm);
  expect_records(llm, {0, 1}, {15.37, 14.0}, {11.0091, 10.5});
  EXPECT_EQ(llm.facts.format, "llm.c text log");
}

TEST(ReadersTest, FairseqInBothForms) {
  Kept kept;
  read_text(
      "2020-01-01 00:00:00 | INFO | train_inner | epoch 001:    101 / 1102 loss=12.623, nll_loss=12.5, "
      "num_updates=100, "
      "lr=1.25e-05, gnorm=3.609, clip=0, loss_scale=64, train_wall=28\n"
      "2020-01-01 00:00:00 | INFO | train_inner | epoch 001:    201 / 1102 loss=11.5, num_updates=200, "
      "gnorm=2.5, clip=0\n",
      kept);
  expect_records(kept, {100, 200}, {3.609, 2.5}, {12.623, 11.5});
  EXPECT_THAT(kept.facts.averaging, HasSubstr("fairseq"));
  Kept json;
  read_text(
      "2020-01-01 | INFO | train_inner | {\"epoch\": 1, \"loss\": \"12.623\", \"num_updates\": \"100\", "
      "\"gnorm\": \"20.751\"}\n",
      json);
  expect_records(json, {100}, {20.751}, {12.623});
}

TEST(ReadersTest, VerlWithNumpyNumbers) {
  Kept kept;
  read_text(
      "step:1 - actor/pg_loss:np.float64(0.25) - actor/grad_norm:np.float64(0.4002) - "
      "critic/rewards/mean:0.1\n"
      "step:2 - actor/pg_loss:-0.5 - actor/grad_norm:0.5\n",
      kept);
  expect_records(kept, {1, 2}, {0.4002, 0.5}, {0.25, -0.5});
}

TEST(ReadersTest, MmengineCountsEpochsAndSaysThatNormsAreMeans) {
  Kept kept;
  read_text(
      "01/01 00:00:00 - mmengine - INFO - Epoch(train)  [1][ 50/151]  lr: 1e-3  loss: 2.5  grad_norm: "
      "508204.0882\n"
      "01/01 00:00:00 - mmengine - INFO - Epoch(val)  [1][ 50/151]  loss: 9.5\n"
      "01/01 00:00:00 - mmengine - INFO - Epoch(train)  [2][ 50/151]  lr: 1e-3  loss: 1.5  grad_norm: 3.5\n",
      kept);
  expect_records(kept, {50, 201}, {508204.0882, 3.5}, {2.5, 1.5});
  EXPECT_THAT(kept.facts.averaging, HasSubstr("10 iterations"));
  Kept iterations;
  read_text(
      "01/01 00:00:00 - mmengine - INFO - Iter(train) [   100/160000]  lr: 1e-3  grad_norm: 4.5  loss: 2.5\n",
      iterations);
  expect_records(iterations, {100}, {4.5}, {2.5});
}

TEST(ReadersTest, ConsoleOfTheTrainerHasNoSteps) {
  Kept kept;
  read_text(
      "{'loss': 1.25, 'grad_norm': nan, 'learning_rate': 2e-05, 'epoch': 0.27}\n"
      " 10%|#  | 10/100 [00:01<00:09]{'loss': 1.0, 'grad_norm': 0.75, 'learning_rate': 2e-05, 'epoch': "
      "0.3}\n",
      kept);
  ASSERT_TRUE(kept.status.ok()) << kept.status.message();
  EXPECT_THAT(kept.steps, ElementsAre(1, 2));
  EXPECT_TRUE(std::isnan(kept.norms[0]));
  EXPECT_EQ(kept.norms[1], 0.75);
  EXPECT_EQ(kept.facts.step_name, "");
}

TEST(ReadersTest, LerobotCountsInThousands) {
  Kept kept;
  read_text("INFO step:7K smpl:28K ep:17 epch:0.70 loss:0.186 grdn:0.190 lr:7.8e-05\n", kept);
  expect_records(kept, {7000}, {0.190}, {0.186});
}

TEST(ReadersTest, PatternOfTheUser) {
  ReadOptions options{.pattern = R"(it (?P<step>\d+) L (?P<loss>\S+) G (?P<norm>\S+))"};
  Kept kept;
  read_text("start\nit 5 L 2.5 G 1,024.5\nit 6 L 2.25 G nan\n", kept, options);
  ASSERT_TRUE(kept.status.ok()) << kept.status.message();
  EXPECT_THAT(kept.steps, ElementsAre(5, 6));
  EXPECT_EQ(kept.norms[0], 1024.5);
  EXPECT_EQ(refusal("it 5", {.pattern = "(?P<norm>x"}),
            "'log': --pattern is no regular expression of RE2: missing ): (?P<norm>x");
  EXPECT_THAT(refusal("it 5", {.pattern = "it (.*)"}), HasSubstr("needs a group of the name norm"));
  EXPECT_THAT(refusal("it 5", {.pattern = "G (?P<norm>.*)"}), HasSubstr("no line fits"));
  EXPECT_THAT(refusal("it abc", {.pattern = "it (?P<norm>.*)"}),
              HasSubstr("1 lines fit --pattern, but its group norm is no number"));
}

TEST(ReadersTest, CsvOfLightningJoinsRowsOfAStep) {
  Kept kept;
  read_text(
      "epoch,grad_2.0_norm/a.weight,grad_2.0_norm/b.weight,grad_2.0_norm_total,step,train_loss,val_loss\r\n"
      "0,3.0,4.0,5.0,49,,\r\n"
      "0,,,,49,2.5,\r\n"
      "0,,,,49,,9.5\r\n"
      "0,6.0,8.0,10.0,99,2.25,\r\n",
      kept);
  expect_records(kept, {49, 99}, {5.0, 10.0}, {2.5, 2.25});
  EXPECT_THAT(kept.facts.tensors, ElementsAre("a.weight", "b.weight"));
  ASSERT_EQ(kept.tensors[1].size(), 2u);
  EXPECT_EQ(kept.tensors[1][1].norm, 8.0);
  Kept total;
  read_text("step,grad_2.0_norm/a,grad_2.0_norm/b\n1,3,4\n", total);
  ASSERT_TRUE(total.status.ok()) << total.status.message();
  EXPECT_THAT(total.norms, ElementsAre(5.0)) << "the norms of the tensors make the global norm";
}

TEST(ReadersTest, CsvChartOfWandbIsReadByItsLargestValues) {
  Kept kept;
  read_text(
      "\"Step\",\"run - a - train/grad_norm\",\"run - a - train/grad_norm__MIN\",\"run - a - "
      "train/grad_norm__MAX\"\n"
      "\"100\",\"1.0\",\"0.5\",\"7.5\"\n\"200\",\"1.0\",\"0.5\",\"2.5\"\n\"300\",\"\",\"\",\"\"\n",
      kept);
  ASSERT_TRUE(kept.status.ok()) << kept.status.message();
  EXPECT_THAT(kept.norms, ElementsAre(7.5, 2.5));
  EXPECT_THAT(kept.steps, ElementsAre(100, 200));
  EXPECT_EQ(kept.facts.norm_name, "run - a - train/grad_norm__MAX");
}

TEST(ReadersTest, CsvWithMarksQuotesAndLineEndsInCells) {
  Kept kept;
  read_text(
      "\xef\xbb\xbf_step;note;\"grad,norm_sq\";loss\r\n1;\"two\nlines; and "
      "\"\"quotes\"\"\";\"9\";1.5\r\n\r\n2;;+16;Infinity\r\n",
      kept);
  ASSERT_TRUE(kept.status.ok()) << kept.status.message();
  EXPECT_THAT(kept.steps, ElementsAre(1, 2));
  EXPECT_THAT(kept.norms, ElementsAre(3.0, 4.0)) << "the root of a squared norm";
  EXPECT_TRUE(kept.facts.squared);
  EXPECT_THAT(kept.losses[1], Optional(kInfinity));
}

TEST(ReadersTest, ColumnsByName) {
  const char* const table = "a,grad_norm,b\n1,2,3\n4,5,6\n";
  Kept kept;
  read_text(table, kept, {.columns = {.norm = "b", .loss = "a", .step = "grad_norm"}});
  expect_records(kept, {2, 5}, {3.0, 6.0}, {1.0, 4.0});
  EXPECT_EQ(refusal(table, {.columns = {.norm = "grad_nrm"}}),
            "'log': --norm: it has no 'grad_nrm'; the nearest name in it is 'grad_norm'");
  EXPECT_THAT(refusal("a,b\n1,2\n"),
              HasSubstr("nothing in it looks like a gradient norm; it has a, b; --norm NAME chooses one"));
}

TEST(ReadersTest, JsonLines) {
  Kept kept;
  read_text(
      "{\"step\": 1, \"optim\": {\"grad_norm\": NaN, \"lr\": 1}, \"loss\": 2.5, \"list\": [1, "
      "{\"grad_norm\": 9}]}\n\n"
      "{\"step\": 2, \"optim\": {\"grad_norm\": 1.5}, \"loss\": \"2.25\", \"note\": \"NaN and -Infinity\"}\n"
      "{\"step\": 3, \"optim\": {\"grad_norm\": -Infinity}}\n"
      "{\"mode\": \"val\", \"step\": 1, \"optim\": {\"grad_norm\": 7}}\n"
      "{\"step\": 4, \"optim\": {\"gra",
      kept);
  ASSERT_TRUE(kept.status.ok()) << kept.status.message();
  EXPECT_THAT(kept.steps, ElementsAre(1, 2, 3));
  EXPECT_TRUE(std::isnan(kept.norms[0]));
  EXPECT_EQ(kept.norms[1], 1.5);
  EXPECT_EQ(kept.norms[2], -kInfinity);
  EXPECT_EQ(kept.facts.norm_name, "optim.grad_norm");
  EXPECT_THAT(kept.facts.notes, ElementsAre("Line 6, the last, is cut off and was left out."));
  EXPECT_EQ(refusal("{\"grad_norm\": 1}\n{\"grad_norm\": x}\n{}\n"), "'log': line 2 is no JSON object");
}

TEST(ReadersTest, JsonLinesOfMmengineAreMeans) {
  Kept kept;
  read_text(
      "{\"lr\":1e-3,\"data_time\":0.1,\"loss\":2.5,\"grad_norm\":1.5,\"time\":0.2,\"epoch\":1,\"iter\":69,"
      "\"memory\":3060,\"step\":69}\n{\"bbox_mAP\":0.1,\"step\":1}\n",
      kept);
  expect_records(kept, {69}, {1.5}, {2.5});
  EXPECT_THAT(kept.facts.averaging, HasSubstr("10 iterations"));
}

TEST(ReadersTest, JsonLinesOfMmdetectionCountEpochs) {
  Kept kept;
  read_text(
      "{\"env_info\": \"x\"}\n"
      "{\"mode\": \"train\", \"epoch\": 1, \"iter\": 50, \"loss\": 2.0, \"grad_norm\": 1.0}\n"
      "{\"mode\": \"train\", \"epoch\": 1, \"iter\": 100, \"loss\": 2.0, \"grad_norm\": 2.0}\n"
      "{\"mode\": \"val\", \"epoch\": 1, \"iter\": 100, \"bbox_mAP\": 0.1}\n"
      "{\"mode\": \"train\", \"epoch\": 2, \"iter\": 50, \"loss\": 2.0, \"grad_norm\": 3.0}\n",
      kept);
  ASSERT_TRUE(kept.status.ok()) << kept.status.message();
  EXPECT_THAT(kept.steps, ElementsAre(50, 100, 150));
  EXPECT_EQ(kept.facts.fell_back, 0);
}

constexpr const char* kTrainerState = R"({
  "best_metric": null,
  "log_history": [
    {"epoch": 0.1, "grad_norm": NaN, "learning_rate": 1e-05, "loss": 2.5, "step": 1},
    {"epoch": 0.2, "grad_norm": 1.5, "learning_rate": 1e-05, "loss": 2.25, "step": 2, "extra": {"a": [1]}},
    {"epoch": 0.2, "eval_loss": 3.5, "eval_runtime": 1.0, "step": 2},
    {"epoch": 0.3, "grad_norm": Infinity, "loss": -2.0, "step": 3},
    {"train_runtime": 5.0, "train_loss": 9.0, "step": 3}
  ],
  "logging_steps": 1, "stateful_callbacks": {"x": {"args": {"grad_norm": 77}}}
})";

TEST(ReadersTest, TrainerStateWithBareNan) {
  Kept kept;
  read_text(kTrainerState, kept);
  ASSERT_TRUE(kept.status.ok()) << kept.status.message();
  EXPECT_THAT(kept.steps, ElementsAre(1, 2, 3));
  EXPECT_TRUE(std::isnan(kept.norms[0]));
  EXPECT_EQ(kept.norms[1], 1.5);
  EXPECT_EQ(kept.norms[2], kInfinity);
  EXPECT_THAT(kept.losses, ElementsAre(Optional(2.5), Optional(2.25), Optional(-2.0)));
  const std::string whole = kTrainerState;
  Kept cut;
  read_text(std::string_view(whole).substr(0, whole.find("{\"epoch\": 0.3") + 30), cut);
  ASSERT_TRUE(cut.status.ok()) << cut.status.message();
  EXPECT_THAT(cut.steps, ElementsAre(1, 2));
  EXPECT_THAT(cut.facts.notes, ::testing::Contains(HasSubstr("cut off")));
  EXPECT_THAT(refusal("{\n  \"a\": 1\n}"), HasSubstr("nothing in it looks like a gradient norm"));
  EXPECT_THAT(refusal("{\n  \"log_history\": [,]\n}"), HasSubstr("is no JSON: something unexpected at byte"));
  EXPECT_THAT(refusal("[\n" + std::string(70, '[')), HasSubstr("more than 64 lists"));
  Kept list;
  read_text("[{\"step\": 1, \"grad_norm\": 2}, {\"step\": 2, \"grad_norm\": 3}]", list);
  EXPECT_THAT(list.norms, ElementsAre(2.0, 3.0)) << list.status.message();
}

TEST(ReadersTest, StepsThatFallAndLossesBetweenNorms) {
  Kept kept;
  read_text("step,grad_norm,loss\n1,1,\n2,2,\n3,3,\n2,4,\n2,5,\n3,6,\n4,,8\n5,,9\n6,7,\n", kept);
  ASSERT_TRUE(kept.status.ok()) << kept.status.message();
  EXPECT_THAT(kept.steps, ElementsAre(1, 2, 3, 2, 3, 6));
  EXPECT_THAT(kept.norms, ElementsAre(1, 2, 3, 4, 6, 7));
  EXPECT_EQ(kept.facts.fell_back, 1);
  EXPECT_EQ(kept.facts.repeated, 1);
  EXPECT_EQ(kept.facts.without_norm, 2);
  EXPECT_THAT(kept.losses.back(), Optional(9.0)) << "the loss logged since the norm before";
}

TEST(BadInputTest, OneClearLine) {
  EXPECT_EQ(refusal(""), "'log' is empty");
  EXPECT_EQ(refusal(" \n\n"), "'log' holds nothing but blanks");
  EXPECT_EQ(
      refusal(std::string("\x7f"
                          "ELF\0\0\0\0\0\0\0\0\0\0",
                          14)),
      "'log' holds bytes of a kind that is not known: neither text, nor an event file, nor a W&B run file, "
      "nor a recording of norms");
  EXPECT_EQ(refusal("\xff\xfe"
                    "a"),
            "'log' is text in UTF-16, expected UTF-8");
  EXPECT_THAT(refusal("Dear Sir,\nhow are you?\n"), HasSubstr("nothing in it looks like a gradient norm"));
  EXPECT_THAT(refusal("Hello\nWorld\n"), HasSubstr("no line has a gradient norm in a way that is known"));
  EXPECT_THAT(refusal("step,grad_norm\n"), HasSubstr("nothing in it looks like a gradient norm"));
  EXPECT_THAT(refusal("step,grad_norm\n1,2,3\n"),
              HasSubstr("line 2 has 3 cells, expected 2 as in its header"));
  EXPECT_THAT(refusal("step,grad_norm\n1,\"2\n3,4\n"), HasSubstr("the quote in line 2 does not end"));
  EXPECT_THAT(refusal("step,grad_norm\n" + std::string(kLongestLine + 10, '1')),
              HasSubstr("line 2 is longer than 16.0 MiB"));
  EXPECT_THAT(refusal("step,grad_norm,x\n1,abc,2\n2,def,3\n", {.columns = {.norm = "grad_norm"}}),
              HasSubstr("grad_norm"));
}

}  // namespace
}  // namespace gradstab::lab::inspect
