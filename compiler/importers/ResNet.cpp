//===- ResNet.cpp - residual convolution networks -------------------------===//
//
// He et al. 2016 with bottlenecks whose stride is in the 3x3 convolution
// ("v1.5"). Images are [batch, height, width, channels]. Keys are those of
// Hugging Face's resnet, and our own:
//   classes             number of classes (default 1000)
//   image_size          height and width (default 224)
//   batch_norm_samples  samples over which batch norm takes its statistics, as
//                       a replica would (default: the whole global batch)
//   batch_norm_momentum share of the new value in the running statistics
//
// Each batch norm is an instance of a module with its running mean and
// variance (unbiased, as in PyTorch), kinds `statistic`. The op carries their
// names (`running_mean`, `running_variance`) for the evaluation program.
//
//===----------------------------------------------------------------------===//

#include "compiler/importers/Families.h"
#include "compiler/importers/Layers.h"

#include <cmath>
#include <map>

using namespace mlir;
using namespace whale;
using namespace whale::importers;

namespace {
class ResNet {
public:
  ResNet(Config &config, const Sizes &sizes, ModelBuilder &model);
  void build();

private:
  struct Conv {
    int64_t out = 1, kernel = 1, stride = 1;
  };
  /// A row of equal blocks; the first changes extent and width.
  struct Stage {
    std::string name;
    int64_t depth = 1, width = 1, stride = 1;
  };

  ModuleDefOp batchNorm(Value like);
  void track(ModuleBuilder &m, StringRef name, Value running, Value current,
             double factor);
  Value convolve(ModuleBuilder &m, StringRef name, Value x, Conv conv);
  ModuleDefOp stem();
  ModuleDefOp block(StringRef name, RankedTensorType input, int64_t width,
                    int64_t stride);
  ModuleDefOp head(RankedTensorType features);

  ModelBuilder &model;
  int64_t batch, classes, imageSize, channels, stemWidth, reduction;
  std::optional<int64_t> over;
  double momentum, epsilon;
  Activation activation;
  std::vector<Stage> stages;
  /// Batch norms by their input's shape.
  std::map<std::vector<int64_t>, ModuleDefOp> norms;
};
} // namespace

/// Each stage halves the image: more than these see one pixel.
static constexpr size_t maxStages = 32;

ResNet::ResNet(Config &config, const Sizes &sizes, ModelBuilder &model)
    : model(model), batch(sizes.batch) {
  classes = config.size("classes", 1000);
  imageSize = config.size("image_size", 224);
  channels = config.size("num_channels", 3);
  stemWidth = config.size("embedding_size", 64);
  reduction = config.size("reduction", 4);
  momentum = config.number("batch_norm_momentum", 0.1, {0, 1});
  epsilon = config.number("batch_norm_eps", 1e-5);
  over = config.optionalSize("batch_norm_samples");
  if (over && *over >= batch)
    over.reset();
  if (over)
    config.requireMultiple("batch", batch, "batch_norm_samples", *over);
  activation = readActivation(config, "hidden_act", "relu");
  config.choice("layer_type", "bottleneck", {"bottleneck"});
  config.requireFlag("downsample_in_first_stage", false, false);
  config.requireFlag("downsample_in_bottleneck", false, false);
  std::vector<int64_t> depths = config.sizes("depths");
  std::vector<int64_t> widths = config.sizes("hidden_sizes");
  if (depths.size() > maxStages)
    config.error("depths", "'depths' has " + std::to_string(depths.size()) +
                               " stages, expected at most " +
                               std::to_string(maxStages));
  if (depths.size() != widths.size())
    config.error("depths", "'depths' has " + std::to_string(depths.size()) +
                               " elements, but 'hidden_sizes' has " +
                               std::to_string(widths.size()));
  for (size_t i = 0; i < std::min(depths.size(), widths.size()); ++i) {
    if (widths[i] % reduction)
      config.error("hidden_sizes", "width " + std::to_string(widths[i]) +
                                       " is no multiple of 'reduction' " +
                                       std::to_string(reduction));
    stages.push_back({"stage" + std::to_string(i + 1), depths[i], widths[i],
                      i == 0 ? 1 : 2});
  }
}

//===----------------------------------------------------------------------===//
// Batch norm
//===----------------------------------------------------------------------===//

/// running + momentum * (current * factor - running) is the next value.
void ResNet::track(ModuleBuilder &m, StringRef name, Value running,
                   Value current, double factor) {
  auto named = [&](StringRef suffix) { return (name + suffix).str(); };
  Value old = m.scale(named(".old"), running, 1 - momentum);
  Value add = m.scale(named(".new"), current, momentum * factor);
  m.assign(name, m.add(named(".next"), old, add));
}

ModuleDefOp ResNet::batchNorm(Value like) {
  RankedTensorType type = tensorType(like);
  Shape shape = type.getShape();
  ModuleDefOp &known = norms[shape.vec()];
  if (known)
    return known;
  std::string name = "norm";
  for (int64_t extent : shape.drop_front())
    name += (name == "norm" ? "_" : "x") + std::to_string(extent);
  ModuleBuilder m = model.module(name, {type});
  int64_t features = shape.back();
  Value scale = m.variable("weight", {features}, importers::constant(1));
  Value shift = m.variable("bias", {features}, importers::constant(0));
  Value mean = m.statistic("mean", {features}, 0);
  Value variance = m.statistic("variance", {features}, 1);
  BatchNormOp op =
      m.batchNorm("norm", m.argument(0), scale, shift, over, epsilon);
  Builder builder(op.getContext());
  op->setDiscardableAttr("running_mean", builder.getStringAttr("mean"));
  op->setDiscardableAttr("running_variance", builder.getStringAttr("variance"));
  double points = double(over.value_or(batch)) * double(shape[1] * shape[2]);
  double unbiased = points > 1 ? points / (points - 1) : 1;
  track(m, "mean", mean, op.getMean(), 1);
  track(m, "variance", variance, op.getVariance(), unbiased);
  return known = m.finish({op.getResult()});
}

/// Convolution without bias, then batch norm.
Value ResNet::convolve(ModuleBuilder &m, StringRef name, Value x, Conv conv) {
  int64_t in = tensorType(x).getShape().back();
  // He et al. 2015: keeps the variance of gradients.
  double fanOut = double(conv.kernel * conv.kernel) * double(conv.out);
  Value filter = m.variable((name + ".weight").str(),
                            {conv.kernel, conv.kernel, in, conv.out},
                            normal(std::sqrt(2 / fanOut)));
  Value result = m.conv2d(name, x, filter, conv.stride, conv.kernel / 2);
  return m.instance(batchNorm(result), (name + "_norm").str(), result).front();
}

//===----------------------------------------------------------------------===//
// The whole
//===----------------------------------------------------------------------===//

ModuleDefOp ResNet::stem() {
  ModuleBuilder m = model.module(
      "stem", {model.real({batch, imageSize, imageSize, channels})});
  Value x = convolve(m, "conv", m.argument(0), {stemWidth, 7, 2});
  x = activate(m, "activation", x, activation);
  return m.finish({m.maxPool("pool", x, 3, 2, 1)});
}

ModuleDefOp ResNet::block(StringRef name, RankedTensorType input, int64_t width,
                          int64_t stride) {
  ModuleBuilder m = model.module(name, {input});
  Value shortcut = m.argument(0);
  int64_t inner = width / reduction;
  Value x = convolve(m, "conv1", shortcut, {inner, 1, 1});
  x = activate(m, "activation1", x, activation);
  x = convolve(m, "conv2", x, {inner, 3, stride});
  x = activate(m, "activation2", x, activation);
  x = convolve(m, "conv3", x, {width, 1, 1});
  if (input.getShape().back() != width || stride != 1)
    shortcut = convolve(m, "shortcut", shortcut, {width, 1, stride});
  return m.finish(
      {activate(m, "activation3", m.add("residual", x, shortcut), activation)});
}

/// Global average, then the classifier.
ModuleDefOp ResNet::head(RankedTensorType features) {
  ModuleBuilder m = model.module("head", {features, model.integers({batch})});
  Shape shape = features.getShape();
  Value x = m.sum("pool", m.argument(0), {1, 2});
  x = m.scale("pool.mean", x, 1.0 / double(shape[1] * shape[2]));
  Init init = uniform(1 / std::sqrt(double(shape.back())));
  Linear spec = {"classes", classes, init, /*bias=*/true, /*from=*/"features"};
  Value logits = linear(m, "classifier", x, spec);
  return m.finish({m.crossEntropySum("loss", logits, m.argument(1))});
}

void ResNet::build() {
  struct Step {
    ModuleDefOp definition;
    std::string name;
    std::optional<int64_t> repeat;
  };
  std::vector<Step> steps = {{stem(), "stem", std::nullopt}};
  auto outputType = [&] {
    Type type = steps.back().definition.getResultTypes().front();
    return cast<RankedTensorType>(type);
  };
  for (const Stage &stage : stages) {
    steps.push_back(
        {block(stage.name + "_first", outputType(), stage.width, stage.stride),
         stage.name + "_first", std::nullopt});
    if (stage.depth > 1)
      steps.push_back(
          {block(stage.name + "_block", outputType(), stage.width, 1),
           stage.name, stage.depth - 1});
  }
  ModuleDefOp last = head(outputType());
  ModuleBuilder m = model.module("main");
  Value x = m.input("images", {"batch", "height", "width", "channels"},
                    model.real({batch, imageSize, imageSize, channels}));
  Value labels = m.input("labels", {"batch"}, model.integers({batch}), classes);
  for (const Step &step : steps)
    x = m.instance(step.definition, step.name, x, step.repeat).front();
  Value sum = m.instance(last, "head", {x, labels}).front();
  m.loss("loss", sum, m.constant("count", double(batch)));
  m.finish({});
}

bool importers::buildResNet(Config &config, const Sizes &sizes,
                            ModelBuilder &model) {
  ResNet resnet(config, sizes, model);
  if (sizes.sequence)
    config.error("model_type", "a resnet has no sequence");
  if (!config.finish())
    return false;
  resnet.build();
  return true;
}
