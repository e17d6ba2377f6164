//! The words of a call block, each an f64, in order. `ts/call.ts` holds the same list; a test compares them.

use crate::options::Terms;

macro_rules! fields {
    ($($name:ident),* $(,)?) => {
        /// A word of the call block.
        #[derive(Clone, Copy)]
        #[expect(non_camel_case_types, reason = "the names are those of the TypeScript list")]
        pub(super) enum Field {
            $($name),*
        }
    };
}

fields! {
    operation, threads, outer, classes, inner, logitsAddress, logitsDtype, labelsAddress, labelsDtype,
    gradMode, gradAddress, gradDtype, lossAddress,
    reduction, denominator, denominatorValue, invalidLabel,
    classWeightAddress, classWeightDtype, sampleWeightAddress, sampleWeightDtype, sampleWeightValue,
    labelSmoothing, smoothingWeights, emptyMean, upstreamAddress, upstreamDtype, upstreamValue,
    zLoss, focalGamma, poly1Epsilon, gceQ, softcap, logitScale, input, probsEpsilon, probsNormalize,
    classMaskAddress, labelMatrixAddress, labelMatrixDtype,
    logSumExpAddress, targetLogProbAddress, predictionsAddress, perClassAddress,
    topK, topValuesAddress, topClassesAddress, targetRankAddress, entropyAddress, logProbsAddress,
    ignoreCount, ignoreAddress, wantsCounts,
    depth, weightAddress, weightDtype, weightLayout, biasAddress, biasDtype, chunkRows, recompute,
    weightGradAddress, biasGradAddress, accumulates,
    code, errorIndex, errorGot, errorCount,
    loss, lossSum, weightSum, validCount, invalidCount, rowCount, nonFiniteCount, denominatorUsed, correctCount,
    cancel,
}

/// The options that shape a row's loss, by the values of words.
pub(super) fn terms(get: impl Fn(Field) -> f64) -> Terms {
    Terms {
        label_smoothing: get(Field::labelSmoothing),
        z_loss: get(Field::zLoss),
        focal_gamma: get(Field::focalGamma),
        poly1_epsilon: get(Field::poly1Epsilon),
        gce_q: get(Field::gceQ),
    }
}
