//===- Matrix.cpp - the rows of the end-to-end matrix ---------------------===//

#include "Matrix.h"

#include <algorithm>

using namespace whale::planner;

namespace e2e {

Node replica(int64_t degree, std::vector<Node> body) {
  Node node;
  node.primitive = Primitive::Replica;
  node.degree = degree;
  node.body = std::move(body);
  return node;
}

Node shares(std::vector<int64_t> samples, std::vector<Node> body) {
  Node node = replica(static_cast<int64_t>(samples.size()), std::move(body));
  node.shares = std::move(samples);
  return node;
}

Node zero(int64_t degree, std::vector<Node> body) {
  Node node = replica(degree, std::move(body));
  node.shard = Shard::Optimizer;
  return node;
}

Node split(int64_t degree, std::vector<std::string> dims,
           std::vector<Node> body) {
  Node node;
  node.primitive = Primitive::Split;
  node.degree = degree;
  node.dims = std::move(dims);
  node.body = std::move(body);
  return node;
}

Node colocated(std::vector<std::string> dims, std::vector<std::string> paths,
               std::vector<Node> body) {
  Node node = split(0, std::move(dims), std::move(body));
  node.paths = std::move(paths);
  node.colocated = true;
  return node;
}

Node pipeline(int64_t microBatches, std::vector<Node> stages,
              Schedule schedule) {
  Node node;
  node.primitive = Primitive::Pipeline;
  node.microBatches = microBatches;
  node.schedule = schedule;
  node.body = std::move(stages);
  return node;
}

Node stage(std::vector<std::string> paths, std::vector<Node> body) {
  Node node;
  node.primitive = Primitive::Stage;
  node.paths = std::move(paths);
  node.body = std::move(body);
  return node;
}

Node recompute(Node node, Recompute how, int64_t layers) {
  node.recompute = how;
  if (layers)
    node.recomputeLayers = layers;
  return node;
}

namespace {

const std::vector<std::string> tensorDims = {"heads", "ffn", "vocabulary"};
constexpr Schedule gpipe = Schedule::GPipe;

/// Two stages of a stack of layers: paths of the first and of the last.
struct Cut {
  std::vector<std::string> first, last;
};

class Table {
public:
  std::vector<Row> rows;

  void add(const ModelCase &model, Node plan, size_t ranks) {
    rows.push_back({model, std::move(plan), ranks, rows.size() + 1});
  }
  /// Data parallelism in its forms.
  void addReplicas(const ModelCase &model) {
    add(model, replica(2), 2);
    add(model, pipeline(2, {stage({}, {replica(2)})}), 2);
    add(model, zero(2), 2);
    add(model, zero(4), 4);
    add(model, recompute(replica(2)), 2);
  }
  void addUneven(const ModelCase &model) {
    add(model, shares({3, 5}), 2);
    add(model, shares({1, 2, 5}), 3);
  }
  void addSplits(const ModelCase &model, std::vector<std::string> dims) {
    add(model, split(2, dims), 2);
    add(model, split(4, dims), 4);
    add(model, replica(2, {split(2, dims)}), 4);
    add(model, split(2, dims, {replica(2)}), 4);
    add(model, zero(2, {split(2, dims)}), 4);
  }
  void addPipelines(const ModelCase &model, const Cut &cut,
                    const std::vector<std::string> &dims) {
    auto two = [&](int64_t microBatches, std::vector<Node> inner,
                   Schedule schedule = Schedule::OneFOneB) {
      return pipeline(microBatches,
                      {stage(cut.first, inner), stage(cut.last, inner)},
                      schedule);
    };
    add(model, two(1, {}), 2);
    add(model, two(4, {}), 2);
    add(model, two(4, {}, gpipe), 2);
    add(model, two(2, {replica(2)}), 4);
    add(model, two(2, {split(2, dims)}), 4);
    add(model, replica(2, {two(2, {split(2, dims)})}), 8);
    add(model, recompute(two(4, {})), 2);
  }
};

void addGpt(Table &table) {
  const ModelCase gpt{"gpt-tiny", {}};
  const Cut layers{{"embeddings", "layers.0"}, {"layers.1", "head"}};
  table.addReplicas(gpt);
  table.addUneven(gpt);
  table.addSplits(gpt, tensorDims);
  table.addPipelines(gpt, layers, tensorDims);
  table.add(gpt, split(3, tensorDims), 3);
  table.add(gpt, recompute(split(2, tensorDims), Recompute::Selective), 2);
  table.add(gpt, recompute(split(2, tensorDims), Recompute::Selective, 2), 2);
  Node some = recompute(split(2, tensorDims), Recompute::None, 2);
  some.selectiveLayers = 1;
  table.add(gpt, some, 2);
  table.add(gpt, split(2, {"heads"}, {split(2, {"ffn", "vocabulary"})}), 4);
  table.add(gpt, replica(2, {replica(2)}), 4);
  // State is cut twice along the dimension that the split leaves.
  table.add(gpt, zero(2, {zero(2, {split(2, tensorDims)})}), 8);
  table.add(gpt, shares({3, 5}, {split(2, tensorDims)}), 4);
  table.add(gpt,
            pipeline(2, {stage({"embeddings"}), stage({"layers.*"}),
                         stage({"head"})}),
            3);
  // Stages of unequal width: tensors change hands in between.
  table.add(gpt,
            pipeline(2, {stage(layers.first, {split(3, tensorDims)}),
                         stage(layers.last)}),
            4);
  table.add(gpt,
            zero(2, {pipeline(2, {stage(layers.first), stage(layers.last)})}),
            4);
  // Inside of a layer: behind its attention, where one value crosses, and in
  // it.
  const Cut behind{{"embeddings", "layers.0/attention_norm",
                    "layers.0/attention", "layers.0/attention_residual"},
                   {"layers.0/mlp_norm", "layers.0/mlp",
                    "layers.0/mlp_residual", "layers.1", "head"}};
  table.addPipelines(gpt, behind, tensorDims);
  table.add(
      gpt,
      pipeline(
          4, {stage({"embeddings", "layers.0", "layers.1/attention_norm",
                     "layers.1/attention/q*", "layers.1/attention/k*",
                     "layers.1/attention/v*", "layers.1/attention/attention"}),
              stage({"layers.1/attention/out*", "layers.1/attention_residual",
                     "layers.1/mlp*", "head"})}),
      2);
  table.add(gpt, split(2, {"sequence"}), 2);
  const ModelCase dropout{"gpt-tiny", {{"dropout", "0.1"}}};
  table.add(dropout, replica(2), 2);
  table.add(dropout, split(2, tensorDims), 2);
  table.add(dropout,
            recompute(pipeline(4, {stage(layers.first), stage(layers.last)})),
            2);
  const ModelCase adamw{"gpt-tiny", {}, "adamw"};
  table.add(adamw, zero(2), 2);
  table.add(adamw, zero(2, {split(2, tensorDims)}), 4);
  table.add(adamw, pipeline(2, {stage(layers.first), stage(layers.last)}), 2);
}

void addLlama(Table &table) {
  const ModelCase llama{"llama-tiny", {}};
  const Cut layers{{"embeddings", "layers.0"}, {"layers.1", "head"}};
  table.addReplicas(llama);
  table.addUneven(llama);
  table.addSplits(llama, {"ffn", "vocabulary"});
  table.add(llama, split(2, tensorDims), 2);
  table.add(llama, split(3, {"ffn", "vocabulary"}), 3);
  table.addPipelines(llama, layers, tensorDims);
}

/// Kinds of layers that decoders other than GPT and Llama have: latent
/// attention, shared experts, dense first layers, norms of heads, squared relu,
/// partial positions, branches side by side, linear biases.
void addDecoders(Table &table) {
  const ModelCase deepseek{"deepseek-tiny", {}}, qwen{"qwen3-moe-tiny", {}},
      llama4{"llama4-tiny", {}}, nemotron{"nemotron-tiny", {}},
      grok{"grok-tiny", {}}, neox{"gpt-neox-tiny", {}}, bloom{"bloom-tiny", {}};
  const std::vector<std::string> experts = {"experts", "heads", "ffn",
                                            "vocabulary"};
  table.addReplicas(deepseek);
  table.addSplits(deepseek, experts);
  table.add(deepseek, split(2, tensorDims), 2);
  table.add(deepseek,
            pipeline(2, {stage({"embeddings", "dense_layers.*"}),
                         stage({"layers.*", "head"})}),
            2);
  table.add(qwen, replica(2), 2);
  table.add(qwen, split(2, experts), 2);
  table.add(qwen, zero(2, {split(2, experts)}), 4);
  table.add(llama4, replica(2), 2);
  table.add(llama4, split(2, experts), 2);
  table.add(llama4,
            pipeline(2, {stage({"embeddings", "layers.*"}),
                         stage({"layer0", "head"})}),
            2);
  for (const ModelCase &model : {nemotron, neox}) {
    table.add(model, replica(2), 2);
    table.add(model, split(2, tensorDims), 2);
    table.add(model,
              pipeline(2, {stage({"embeddings", "layers.0"}),
                           stage({"layers.1", "head"})}),
              2);
  }
  table.add(grok, split(2, experts), 2);
  table.add(bloom, replica(2), 2);
  table.add(bloom, split(2, tensorDims), 2);
}

/// Context parallelism (the sequence is cut, attention gathers the keys) and
/// sequence parallelism (it is cut between the ops of a tensor split).
void addSequences(Table &table) {
  const std::vector<std::string> context = {"sequence", "keys"};
  std::vector<std::string> sequences = tensorDims;
  sequences.insert(sequences.end(), context.begin(), context.end());
  const ModelCase gpt{"gpt-tiny", {}}, llama{"llama-tiny", {}},
      t5{"t5-tiny", {}}, mixtral{"mixtral-tiny", {}};
  for (const ModelCase &model : {gpt, llama, t5}) {
    table.add(model, replica(2, {split(2, context)}), 4);
    table.add(model, split(2, sequences), 2);
  }
  table.add(gpt, split(3, context), 3);
  table.add(llama, split(2, tensorDims, {split(2, context)}), 4);
  table.add(llama, zero(2, {split(2, sequences)}), 4);
  table.add(mixtral, zero(2, {split(2, context)}), 4);
  table.add(llama,
            pipeline(2, {stage({"embeddings", "layers.0"}, {split(2, context)}),
                         stage({"layers.1", "head"}, {split(2, context)})}),
            4);
}

/// Positions beyond the trained ones: angles from tables, also of shards.
void addScaledPositions(Table &table) {
  const ModelCase llama3{
      "llama-tiny",
      {{"rope_scaling",
        R"({"rope_type": "llama3", "factor": 8, "low_freq_factor": 1,
            "high_freq_factor": 4, "original_max_position_embeddings": 64})"}}};
  const ModelCase yarn{
      "deepseek-tiny",
      {{"rope_scaling", R"({"type": "yarn", "factor": 4, "mscale": 1,
            "mscale_all_dim": 0.5, "original_max_position_embeddings": 64})"}}};
  table.add(llama3, replica(2, {split(2, {"sequence", "keys"})}), 4);
  table.add(llama3, replica(2, {split(2, tensorDims)}), 4);
  table.add(yarn, split(2, tensorDims), 2);
}

/// Adapters on a frozen model, and a masked head at some positions only.
void addPartialTraining(Table &table) {
  const ModelCase lora{"llama-tiny", {}, "sgd", 8, "rank=4,targets=qkv,o,up"};
  table.addReplicas(lora);
  table.add(lora, split(2, tensorDims), 2);
  table.add(lora, zero(2, {split(2, tensorDims)}), 4);
  table.add(lora,
            pipeline(2, {stage({"embeddings", "layers.0"}),
                         stage({"layers.1", "head"})}),
            2);
  const ModelCase masked{"bert-tiny", {{"max_predictions_per_seq", "5"}}};
  table.add(masked, replica(2), 2);
  table.add(masked, split(2, {"heads", "ffn", "vocabulary"}), 2);
}

/// Experts over the devices of the data parallelism.
void addExpertParallel(Table &table, const ModelCase &model, const Cut &cut,
                       const std::vector<std::string> &dims,
                       std::vector<int64_t> uneven) {
  const Node experts = colocated({"experts"}, {"layers.*/experts"});
  auto around = [&](Node inner) {
    return colocated(experts.dims, experts.paths, {std::move(inner)});
  };
  table.add(model, replica(2, {experts}), 2);
  table.add(model, replica(4, {colocated({"experts"}, {})}), 4);
  table.add(model, shares(std::move(uneven), {experts}), 2);
  table.add(model, zero(2, {experts}), 2);
  table.add(model, recompute(replica(2, {experts})), 2);
  table.add(model, replica(2, {around(split(2, dims))}), 4);
  table.add(model, split(2, dims, {replica(2, {experts})}), 4);
  table.add(model, replica(2, {replica(2, {experts})}), 4);
  Node both = experts;
  both.degree = 4;
  table.add(model, replica(2, {replica(2, {both})}), 4);
  // The outer replicas' batches are joined, not the inner ones'.
  table.add(model, replica(2, {around(replica(2))}), 4);
  table.add(model, pipeline(2, {stage({}, {replica(2, {experts})})}), 2);
  table.add(model, replica(2, {around(pipeline(2, {stage({})}))}), 2);
  table.add(model,
            pipeline(2, {stage(cut.first, {replica(2, {experts})}),
                         stage(cut.last, {replica(2, {experts})})}),
            4);
  table.add(model,
            pipeline(2, {stage(cut.first, {replica(2, {experts})}),
                         stage(cut.last, {replica(2)})}),
            4);
  table.add(model,
            replica(2, {pipeline(2, {stage(cut.first, {split(2, dims)}),
                                     stage(cut.last, {experts})})}),
            6);
}

/// A large classifier cut over the devices on which the features are
/// replicated: Whale's own example.
void addSplitClassifier(Table &table, const ModelCase &model) {
  const Node head = colocated({"classes"}, {"head"});
  const Cut cut{{"stem", "stage1_first", "stage1"},
                {"stage2_first", "stage2", "head"}};
  table.add(model, replica(2, {head}), 2);
  table.add(model, replica(4, {head}), 4);
  table.add(model, shares({2, 6}, {head}), 2);
  table.add(model, shares({2, 2, 4}, {head}), 3);
  table.add(model, zero(4, {head}), 4);
  table.add(model, pipeline(2, {stage({}, {replica(2, {head})})}), 2);
  table.add(model, replica(2, {replica(2, {head})}), 4);
  table.add(model,
            pipeline(2, {stage(cut.first, {replica(2)}),
                         stage(cut.last, {replica(2, {head})})}),
            4);
}

/// A vocabulary cut over the replicas' devices, alone and by a split besides,
/// as the search proposes it.
void addCutVocabulary(Table &table, const ModelCase &model) {
  const Node words = colocated({"vocabulary"}, {});
  auto around = [&](Node inner) {
    return colocated(words.dims, {}, {std::move(inner)});
  };
  table.add(model, replica(4, {words}), 4);
  table.add(model, zero(2, {words}), 2);
  table.add(model, replica(2, {around(split(2, tensorDims))}), 4);
  table.add(model, zero(2, {around(split(2, tensorDims))}), 4);
  table.add(model, replica(2, {replica(2, {words})}), 4);
  table.add(model,
            pipeline(2, {stage({"embeddings", "layers.0"}, {zero(2, {words})}),
                         stage({"layers.1", "head"}, {zero(2, {words})})}),
            4);
}

Table makeTable() {
  Table table;
  const ModelCase bert{"bert-tiny", {}}, t5{"t5-tiny", {}},
      mixtral{"mixtral-tiny", {}}, resnet{"resnet-tiny", {}}, m6{"m6-tiny", {}},
      m6Adafactor{"m6-tiny", {}, "adafactor"};
  const std::vector<std::string> experts = {"experts", "vocabulary"};
  addGpt(table);
  addLlama(table);
  addDecoders(table);
  addSequences(table);
  addScaledPositions(table);
  addPartialTraining(table);
  table.addReplicas(bert);
  table.addUneven(bert);
  table.addSplits(bert, {"heads", "ffn"});
  table.add(bert,
            pipeline(2, {stage({"embeddings", "layers.0"}),
                         stage({"layers.1", "masked_head", "pooler",
                                "sentence_head"})}),
            2);
  table.addReplicas(t5);
  table.addSplits(t5, tensorDims);
  table.add(
      t5,
      pipeline(2, {stage({"encoder_embeddings", "encoder_positions", "encoder",
                          "encoder.*", "encoder_norm"}),
                   stage({"decoder_embeddings", "decoder_positions", "decoder",
                          "decoder.*", "decoder_norm", "head"})}),
      2);
  table.addReplicas(mixtral);
  table.addSplits(mixtral, experts);
  table.add(resnet, replica(2), 2);
  table.add(resnet, shares({2, 6}), 2);
  table.add(resnet, zero(4), 4);
  table.add(resnet, pipeline(2, {stage({}, {replica(2)})}), 2);
  table.add(resnet,
            pipeline(2, {stage({"stem", "stage1_first", "stage1"}),
                         stage({"stage2_first", "stage2", "head"})}),
            2);
  table.add(m6, replica(2), 2);
  table.add(m6, zero(2), 2);
  table.addSplits(m6, experts);
  table.add(m6Adafactor, replica(2), 2);
  table.add(m6Adafactor, split(2, experts), 2);
  table.add(m6Adafactor, zero(2), 2);
  table.add(m6Adafactor, zero(4), 4);
  table.add(m6Adafactor, zero(2, {split(2, experts)}), 4);
  addSplitClassifier(table, resnet);
  addCutVocabulary(table, {"gpt-tiny", {}});
  addCutVocabulary(table, {"llama-tiny", {}});
  addExpertParallel(table, mixtral,
                    {{"embeddings", "layers.0"}, {"layers.1", "head"}},
                    {"heads", "vocabulary"}, {3, 5});
  addExpertParallel(table, m6,
                    {{"embeddings", "layers.0..1"}, {"layers.2..3", "head"}},
                    {"heads", "ffn", "vocabulary"}, {2, 6});
  table.add(m6Adafactor,
            replica(2, {colocated({"experts"}, {"layers.*/experts"})}), 2);
  return table;
}

} // namespace

const std::vector<Row> &rows() {
  static const std::vector<Row> all = makeTable().rows;
  return all;
}

std::vector<ModelCase> models() {
  std::vector<ModelCase> out;
  for (const Row &row : rows())
    if (std::find(out.begin(), out.end(), row.model) == out.end())
      out.push_back(row.model);
  return out;
}

} // namespace e2e
