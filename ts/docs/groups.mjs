// A plugin of typedoc: the options of a call in groups, in the order of this table. An option that is in no group fails the documentation.
import { Application, Comment, CommentTag, Converter, ReflectionKind } from "typedoc";

/** @type {Readonly<Record<string, readonly string[]>>} */
const groups = {
  "Shape and dtype": ["axis", "shape", "dtype"],
  "Which rows count": ["ignoreIndex", "invalidLabel", "classMask"],
  Weights: ["classWeight", "sampleWeight", "posWeight", "labelMatrix"],
  "The mean": ["reduction", "denominator", "emptyMean"],
  "The loss": ["labelSmoothing", "smoothingWeights", "zLoss", "focalGamma", "poly1Epsilon", "gceQ", "softcap", "logitScale", "input", "probsEpsilon", "probsNormalize"],
  "What is given back": ["grad", "accumulate", "upstream", "loss", "outputs", "k"],
  "How it runs": ["signal", "weightLayout", "chunkRows", "recompute", "bias"],
};

/** @param {Application} app */
export function load(app) {
  app.on(Application.EVENT_BOOTSTRAP_END, () => app.options.setValue("categoryOrder", [...Object.keys(groups), "*"]));
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
    for (const option of project.getReflectionsByKind(ReflectionKind.Property)) {
      if (!/^(CrossEntropy|WeightedSigmoid|LinearCrossEntropy)(Async)?Options$/.test(option.parent?.name ?? "")) continue;
      const group = Object.keys(groups).find((name) => groups[name]?.includes(option.name));
      if (group === undefined) app.logger.error(`${option.getFullName()} is in no group of ts/docs/groups.mjs`);
      option.comment ??= new Comment();
      option.comment.blockTags.push(new CommentTag("@category", [{ kind: "text", text: group ?? "Other" }]));
    }
  });
}
