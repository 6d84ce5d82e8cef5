/** What a forecaster adds to the sentences in English, or says in their place. */

/** @type {import("./types.ts").Sentences} */
export default {
  lead: "How does a series go on? The answer is worked out on this device: no value leaves it.",
  skip: "Skip to the series",
  "drop.title": "Drop a CSV here",
  "drop.hint": "or paste its lines, or choose below. Several at once make a list.",
  "touch.title": "Tap to choose a CSV",
  choose: "Choose CSV files",
  "answer.heading": "Forecast",
  "answer.waiting": "Choose a CSV and see how it goes on.",
  "answer.looking": "Reading {name} …",
  "list.heading": "All series",
  "list.picture": "Series",
  "list.answer": "Next value",
  "list.confidence": "Intervals",
  "list.done": {
    one: "{n} series: {sure} forecast, no answer to {failed}.",
    other: "{n} series: {sure} forecast, no answer to {failed}.",
  },
  "model.summary": { one: "{name}, {n} step ahead, {device}", other: "{name}, {n} steps ahead, {device}" },
  "model.accuracy": {
    one: "RMSE {rmse}, MAE {mae}, MASE {mase} over {n} forecast",
    other: "RMSE {rmse}, MAE {mae}, MASE {mase} over {n} forecasts",
  },
  "load.ready": {
    one:
      "Ready. This model takes a CSV with the columns “{time}” and “{value}” in steps of {frequency}, the last {window} without " +
      "a gap, and forecasts {n} step.",
    other:
      "Ready. This model takes a CSV with the columns “{time}” and “{value}” in steps of {frequency}, the last {window} without " +
      "a gap, and forecasts {n} steps.",
  },
  "note.modelChanged": "Now {name}. The series are forecast again.",
  "series.pasted": "pasted.csv",
  "series.next": "at {time}, the next one. {promised}",
  "series.between": "{low} to {high}",
  "series.cost": "{time} on {device} · {n} values, of which the last {window} were looked at",
  "series.table": "Forecast, step by step",
  "series.time": "Time",
  "series.value": "Value",
  "series.spoken": {
    one: "{name}: {value} at {time}, {promised}.",
    other: "{name}: {n} values, from {value} at {time} ({promised}) to {last} at {end}.",
  },
  "error.noFiles": "There was neither a file nor text in it. Copy lines of a CSV, or drop its file.",
  "error.noText": "This file is no text. Export the series as CSV.",
  "error.oneColumn":
    "This file has one column only, “{name}”. It needs one of times and one of values, separated by a comma, a semicolon, a tab or a |.",
  "error.moreCells": "Lines of this file have more cells than its head has names.",
  "error.noValues": "This file has a head and no values.",
  "error.noColumn": "This file has no column “{name}”. It has: {names}.",
  "error.noTime": "No line has a time that can be read; the first is “{text}”.",
  "error.frequency": "This page knows no steps of “{frequency}”. “springfield predict” does.",
  "error.timeFormat": "This page knows no times written as “{format}”. “springfield predict” does.",
  "error.noZone": "“{text}” is a time without a zone, where others have one. Give all of them one.",
  "error.irregular": "Most times are not in steps of {frequency}, such as {time} after {first}.",
  "error.tooLong": "These are more than a million steps of {frequency}.",
  "error.tooShort": "This file has too few values, {n}. A forecast needs {window}.",
  "error.hole": "There is no value at {time}. A forecast needs it.",
};
