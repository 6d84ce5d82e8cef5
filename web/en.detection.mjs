/** What a detector adds to the sentences in English, or says in their place. */

/** @type {import("./types.ts").Sentences} */
export default {
  lead: "What is where in the picture? The answer is worked out on this device: no picture leaves it.",
  "answer.waiting": "Choose a picture and see what is in it.",
  "list.confidence": "Best score",
  "list.done": {
    one: "{n} picture: something in {sure}, nothing in {unsure}, no answer to {failed}.",
    other: "{n} pictures: something in {sure}, nothing in {unsure}, no answer to {failed}.",
  },
  "model.threshold": "Shows boxes from",
  "model.always": "any score on",
  "model.accuracy": {
    one: "mAP50 {map50}, mAP {map} on {n} picture",
    other: "mAP50 {map50}, mAP {map} on {n} pictures",
  },
  "boxes.found": { one: "{n} found", other: "{n} found" },
  "boxes.nothing": "Nothing found",
  "boxes.below": "No box reaches a score of {threshold}, from which on this model shows them.",
  "boxes.class": "Class",
  "boxes.score": "Score",
  "boxes.corners": "x1 y1 x2 y2",
  "boxes.spoken": { one: "{name}: {n} found, {who}.", other: "{name}: {n} found, {who}." },
  "boxes.spokenNothing": "{name}: nothing found.",
};
