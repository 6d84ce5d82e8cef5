/** The page's sentences in English and Russian; {name} stands for a value. */

/** @import { Values } from "./types.ts" */
/** @typedef {"en" | "ru"} Language */
/** @typedef {string | {other: string} & Partial<Record<Intl.LDMLPluralRule, string>>} Sentence */

/** @type {Record<Language, Record<string, Sentence>>} */
export const SENTENCES = {
  en: {
    title: "Springfield",
    lead: "Who is in the picture? The answer is worked out on this device: no picture leaves it.",
    language: "Language",
    skip: "Skip to the picture",
    "drop.title": "Drop a picture here",
    "drop.hint": "or paste one, or choose below. Several at once make a list.",
    choose: "Choose pictures",
    camera: "Camera",
    random: "Random",
    folder: "Folder",
    undo: "Undo",
    reset: "Reset",
    "camera.title": "Camera",
    "camera.take": "Take the picture",
    "camera.close": "Close",
    "camera.name": "camera {n}",
    "answer.heading": "Answer",
    "answer.waiting": "Choose a picture and see who it is.",
    "answer.looking": "Looking at {name} …",
    "answer.unsure": "Not sure",
    "answer.sure": "{percent} sure",
    "answer.below": "Closest is {who} with {percent}; below {threshold} this model does not commit itself.",
    "answer.none": "No answer",
    "answer.spoken": "{name}: {who}, {percent}.",
    "answer.spokenUnsure": "{name}: not sure, closest is {who}, {percent}.",
    "answer.cost": "{time} on {device} · {width} × {height} pixels",
    "answer.costReduced": "{time} on {device} · {width} × {height} pixels, looked at as {w} × {h}",
    "answer.costDetail": "decoding {decode}, model {run}",
    "answer.top": "Most likely",
    "answer.watched": "Watched",
    "device.webgpu": "WebGPU",
    "device.wasm": { one: "wasm, {n} thread", other: "wasm, {n} threads" },
    "list.heading": "Pictures",
    "list.picture": "Picture",
    "list.answer": "Answer",
    "list.confidence": "Confidence",
    "list.csv": "Download as CSV",
    "list.progress": "{done} of {total}",
    "list.stop": "Stop",
    "list.unsure": "not sure ({who})",
    "watch.heading": "Classes to watch",
    "watch.hint": "Their scores are shown with every picture, also when they are not among the first five.",
    "watch.filter": "Filter",
    "watch.none": "Watch none",
    "watch.count": { one: "{n} watched", other: "{n} watched" },
    "model.heading": "Model",
    "model.summary": { one: "{name}, {n} class, {device}", other: "{name}, {n} classes, {device}" },
    "model.choose": "Version",
    "model.int8": "int8: smaller, the usual one without WebGPU",
    "model.fp32": "fp32: exact, the usual one with WebGPU",
    "model.disk": "from disk: {name}",
    "model.device": "Runs on",
    "model.auto": "whatever is fastest here",
    "model.webgpu": "WebGPU (graphics processor)",
    "model.wasm": "wasm (processor)",
    "model.open": "Open an ONNX model from disk",
    "model.file": "File",
    "model.size": "{megabytes} MB",
    "model.scores": "Test scores",
    "model.accuracy": {
      one: "accuracy {accuracy}, macro-F1 {f1} on {n} picture",
      other: "accuracy {accuracy}, macro-F1 {f1} on {n} pictures",
    },
    "model.threshold": "Answers from",
    "model.always": "always answers",
    "model.data": "Data, SHA-256",
    "model.params": "Params, SHA-256",
    "model.code": "Code, SHA-256",
    "load.start": "Getting the model ready …",
    "load.bytes": "Downloading the model: {loaded} of {total} MB",
    "load.bytesOnly": "Downloading the model: {loaded} MB",
    "load.ready": { one: "Ready. This model knows {n} class.", other: "Ready. This model knows {n} classes." },
    "load.knows": "It knows",
    "load.failed": "No model is loaded.",
    "load.again": "Try again",
    "note.storage":
      "The browser's storage is full or switched off: everything works, but the next visit downloads the model again, " +
      "and the page needs the network. Freeing some disk space or ending private browsing helps.",
    "note.insecure":
      "Over plain http from another machine the browser keeps nothing for the next visit, runs one thread and has no " +
      "camera. Everything else works; with https all of it does.",
    "note.gpuFailed": "WebGPU is there but could not run this model; it runs on the processor (wasm) instead.",
    "note.modelChanged": "Now {name}. The pictures are looked at again.",
    "play.title": "Playground",
    "play.lead": "Set points of two classes, and watch a small network learn to tell them apart.",
    "play.skip": "Skip to the points",
    "play.link": "Playground: watch a small network learn",
    "play.back": "To the page that runs the model",
    "play.noscript": "This page needs JavaScript modules: they are the network.",
    "play.points": "Points",
    "play.plane": "The plane of the points",
    "play.hint": "Click to set a point. On the keyboard: arrows move the cross, Enter sets a point there.",
    "play.brush": "A click",
    "play.blue": "sets a blue square",
    "play.orange": "sets an orange circle",
    "play.remove": "takes the nearest away",
    "play.network": "Network",
    "play.learn": "Learn",
    "play.pause": "Pause",
    "play.step": "One epoch",
    "play.anew": "New weights",
    "play.set": "Points to begin with",
    "play.circle": "a circle in a ring",
    "play.halves": "two halves",
    "play.xor": "opposite corners (XOR)",
    "play.spirals": "two spirals",
    "play.none": "none",
    "play.layers": "Hidden layers",
    "play.neurons": "Neurons in each",
    "play.activation": "Activation",
    "play.linear": "none: linear",
    "play.rate": "Learning rate",
    "play.both": "It takes points of both classes to learn from.",
    "play.new": { one: "{n} point. The weights are random.", other: "{n} points. The weights are random." },
    "play.state": {
      one: "Epoch {epoch}: loss {loss}, {right} of {n} point right.",
      other: "Epoch {epoch}: loss {loss}, {right} of {n} points right.",
    },
    "play.diverged": "In epoch {epoch} the loss became no number: the learning rate is too high. Take new weights and a lower one.",
    "play.count": { one: "{n} point.", other: "{n} points." },
    "play.atBlue": "{x}, {y}: blue square, {share}.",
    "play.atOrange": "{x}, {y}: orange circle, {share}.",
    dismiss: "Close this message",
    footer: "Runs in this browser with ONNX Runtime Web. Works without a network after the first visit.",
    noscript: "This page needs JavaScript modules: they run the model.",
    "error.notPicture":
      "This file is no picture that the browser can read. JPEG, PNG, WebP, GIF, BMP and AVIF work; save other kinds " +
      "(HEIC, TIFF, RAW) as JPEG first.",
    "error.emptyFile": "This file is empty.",
    "error.pictureTooLarge": "{width} × {height} pixels are more than this browser can hold. Make the picture smaller first.",
    "error.noFiles": "There was no picture in it. Copy or drop picture files, not links or text.",
    "error.noPicturesInFolder": "There are no pictures in that folder.",
    "error.notOnnx": "This is no ONNX model. Choose a .onnx file that “springfield export” wrote.",
    "error.modelCutOff": "This ONNX model is cut off or damaged. Copy or download it again.",
    "error.noClasses":
      "This ONNX model does not name its classes. Export it with Springfield, which writes them into the file.",
    "error.otherModel":
      "This ONNX model takes or gives something else than pictures and probabilities. Export it with Springfield.",
    "error.classCount":
      "This ONNX model gives {outputs} probabilities but names {classes} classes. Export it again with Springfield.",
    "error.cannotRun": "The runtime cannot run this ONNX model ({text}). Export it again with Springfield.",
    "error.fileGone": "The file could not be read: it was moved, changed or deleted. Choose it again.",
    "error.noWebAssembly":
      "This browser has no WebAssembly, which runs the model. Use a current Chrome, Edge, Firefox or Safari, and switch " +
      "off lockdown or “strict security” modes for this page.",
    "error.noRuntime": "The runtime of the model could not start ({text}). A current Chrome, Edge, Firefox or Safari runs it.",
    "error.noWebgpu": "This browser offers no WebGPU here. Choose another place to run on, or switch hardware acceleration on.",
    "error.workerFailed":
      "The part of the page that runs the model stopped ({text}). Load the page again; if that does not help, the server " +
      "lacks files: build the page again with “springfield app”.",
    "error.memory": "The browser ran out of memory ({text}). Close other tabs, or choose the int8 version or a smaller picture.",
    "error.serverGone": "The server does not answer ({path}). Start it again with “make app”, then try again.",
    "error.brokeOff": "The download of {path} broke off. Check that the server still runs, then try again.",
    "error.serverFails": "The server answers {status} for {path}. Try again later.",
    "error.notServed":
      "The server has no {path}. Run “make repro” and “make app”, or open an ONNX model from disk below.",
    "error.brokenFile": "The server's {path} is damaged. Build the page again with “springfield app”.",
    "error.wrongHash":
      "{path} is not the file that the server describes: damaged, or in the middle of an update. Try again; if that does not " +
      "help, build the page again with “springfield app”.",
    "error.stopped": "Stopped.",
    "error.noCamera": "No camera was found. Connect one, or choose a picture.",
    "error.cameraDenied": "The browser was not allowed to use the camera. Allow it in the address bar, or choose a picture.",
    "error.cameraBusy": "The camera is in use elsewhere. Close the other program, then try again.",
    "error.cameraInsecure": "Browsers open the camera on https and on this very machine only.",
    "error.unexpected": "Something unforeseen went wrong ({text}). Load the page again.",
  },
  ru: {
    title: "Springfield",
    lead: "Кто на картинке? Ответ считается прямо на этом устройстве: картинка его не покидает.",
    language: "Язык",
    skip: "Перейти к картинке",
    "drop.title": "Перетащите картинку сюда",
    "drop.hint": "вставьте из буфера или выберите ниже. Несколько сразу составят список.",
    choose: "Выбрать картинки",
    camera: "Камера",
    random: "Случайная",
    folder: "Папка",
    undo: "Отменить",
    reset: "Сбросить",
    "camera.title": "Камера",
    "camera.take": "Сделать снимок",
    "camera.close": "Закрыть",
    "camera.name": "камера {n}",
    "answer.heading": "Ответ",
    "answer.waiting": "Выберите картинку, чтобы узнать, кто на ней.",
    "answer.looking": "Смотрю на {name} …",
    "answer.unsure": "Не уверена",
    "answer.sure": "уверенность {percent}",
    "answer.below": "Ближе всего {who}: {percent}; ниже {threshold} модель ответа не даёт.",
    "answer.none": "Нет ответа",
    "answer.spoken": "{name}: {who}, {percent}.",
    "answer.spokenUnsure": "{name}: не уверена, ближе всего {who}, {percent}.",
    "answer.cost": "{time} · {device} · {width} × {height} пикселей",
    "answer.costReduced": "{time} · {device} · {width} × {height} пикселей, уменьшено до {w} × {h}",
    "answer.costDetail": "чтение картинки {decode}, модель {run}",
    "answer.top": "Вероятнее всего",
    "answer.watched": "Под наблюдением",
    "device.webgpu": "WebGPU",
    "device.wasm": { one: "wasm, {n} поток", few: "wasm, {n} потока", other: "wasm, {n} потоков" },
    "list.heading": "Картинки",
    "list.picture": "Картинка",
    "list.answer": "Ответ",
    "list.confidence": "Уверенность",
    "list.csv": "Скачать CSV",
    "list.progress": "{done} из {total}",
    "list.stop": "Остановить",
    "list.unsure": "не уверена ({who})",
    "watch.heading": "Классы под наблюдением",
    "watch.hint": "Их вероятности видны у каждой картинки, даже если они не вошли в первую пятёрку.",
    "watch.filter": "Поиск",
    "watch.none": "Снять все",
    "watch.count": { one: "выбран {n}", few: "выбрано {n}", other: "выбрано {n}" },
    "model.heading": "Модель",
    "model.summary": {
      one: "{name}, {n} класс, {device}",
      few: "{name}, {n} класса, {device}",
      other: "{name}, {n} классов, {device}",
    },
    "model.choose": "Вариант",
    "model.int8": "int8: меньше, обычный без WebGPU",
    "model.fp32": "fp32: точный, обычный с WebGPU",
    "model.disk": "с диска: {name}",
    "model.device": "Где считать",
    "model.auto": "где быстрее",
    "model.webgpu": "WebGPU (видеокарта)",
    "model.wasm": "wasm (процессор)",
    "model.open": "Открыть модель ONNX с диска",
    "model.file": "Файл",
    "model.size": "{megabytes} МБ",
    "model.scores": "На тесте",
    "model.accuracy": {
      one: "точность {accuracy}, macro-F1 {f1} на {n} картинке",
      other: "точность {accuracy}, macro-F1 {f1} на {n} картинках",
    },
    "model.threshold": "Отвечает от",
    "model.always": "отвечает всегда",
    "model.data": "Данные, SHA-256",
    "model.params": "Параметры, SHA-256",
    "model.code": "Код, SHA-256",
    "load.start": "Готовлю модель …",
    "load.bytes": "Загружаю модель: {loaded} из {total} МБ",
    "load.bytesOnly": "Загружаю модель: {loaded} МБ",
    "load.ready": {
      one: "Готово. Модель знает {n} класс.",
      few: "Готово. Модель знает {n} класса.",
      other: "Готово. Модель знает {n} классов.",
    },
    "load.knows": "Она знает",
    "load.failed": "Модель не загружена.",
    "load.again": "Ещё раз",
    "note.storage":
      "Хранилище браузера заполнено или выключено: всё работает, но в следующий раз модель загрузится снова, и понадобится " +
      "сеть. Освободите место на диске или выйдите из режима инкогнито.",
    "note.insecure":
      "По http с другого компьютера браузер ничего не хранит до следующего раза, считает в один поток и не даёт камеру. " +
      "Остальное работает; по https работает всё.",
    "note.gpuFailed": "WebGPU есть, но не смог выполнить эту модель; считает процессор (wasm).",
    "note.modelChanged": "Теперь {name}. Картинки просматриваются заново.",
    "play.title": "Песочница",
    "play.lead": "Поставьте точки двух классов и смотрите, как маленькая сеть учится их различать.",
    "play.skip": "Перейти к точкам",
    "play.link": "Песочница: как учится маленькая сеть",
    "play.back": "К странице с моделью",
    "play.noscript": "Странице нужны модули JavaScript: они и есть сеть.",
    "play.points": "Точки",
    "play.plane": "Плоскость точек",
    "play.hint": "Щёлкните, чтобы поставить точку. С клавиатуры: стрелки двигают крестик, Enter ставит в нём точку.",
    "play.brush": "Щелчок",
    "play.blue": "ставит синий квадрат",
    "play.orange": "ставит оранжевый круг",
    "play.remove": "убирает ближайшую",
    "play.network": "Сеть",
    "play.learn": "Учить",
    "play.pause": "Пауза",
    "play.step": "Одна эпоха",
    "play.anew": "Новые веса",
    "play.set": "Точки для начала",
    "play.circle": "круг в кольце",
    "play.halves": "две половины",
    "play.xor": "противоположные углы (XOR)",
    "play.spirals": "две спирали",
    "play.none": "никаких",
    "play.layers": "Скрытых слоёв",
    "play.neurons": "Нейронов в каждом",
    "play.activation": "Функция активации",
    "play.linear": "никакой: линейная",
    "play.rate": "Скорость обучения",
    "play.both": "Чтобы учиться, нужны точки обоих классов.",
    "play.new": {
      one: "{n} точка. Веса случайны.",
      few: "{n} точки. Веса случайны.",
      other: "{n} точек. Веса случайны.",
    },
    "play.state": "Эпоха {epoch}: потери {loss}, верно {right} из {n}.",
    "play.diverged":
      "В эпохе {epoch} потери перестали быть числом: скорость обучения слишком велика. Возьмите новые веса и скорость поменьше.",
    "play.count": { one: "{n} точка.", few: "{n} точки.", other: "{n} точек." },
    "play.atBlue": "{x}, {y}: синий квадрат, {share}.",
    "play.atOrange": "{x}, {y}: оранжевый круг, {share}.",
    dismiss: "Закрыть сообщение",
    footer: "Работает в этом браузере на ONNX Runtime Web. После первого посещения не требует сети.",
    noscript: "Странице нужны модули JavaScript: они выполняют модель.",
    "error.notPicture":
      "Этот файл не картинка, или браузер не умеет её читать. Подходят JPEG, PNG, WebP, GIF, BMP и AVIF; остальное " +
      "(HEIC, TIFF, RAW) сначала сохраните как JPEG.",
    "error.emptyFile": "Этот файл пуст.",
    "error.pictureTooLarge": "{width} × {height} пикселей браузеру не по силам. Сначала уменьшите картинку.",
    "error.noFiles": "Картинки не нашлось. Копируйте или перетаскивайте файлы картинок, а не ссылки и текст.",
    "error.noPicturesInFolder": "В этой папке нет картинок.",
    "error.notOnnx": "Это не модель ONNX. Выберите файл .onnx, который записала команда «springfield export».",
    "error.modelCutOff": "Эта модель ONNX обрезана или повреждена. Скопируйте или скачайте её ещё раз.",
    "error.noClasses": "В этой модели ONNX нет названий классов. Экспортируйте её из Springfield: он записывает их в файл.",
    "error.otherModel":
      "Эта модель ONNX принимает или выдаёт не картинки и вероятности. Экспортируйте её из Springfield.",
    "error.classCount":
      "Эта модель ONNX выдаёт вероятностей: {outputs}, а классов в ней названо: {classes}. Экспортируйте её заново.",
    "error.cannotRun": "Среда выполнения не может запустить эту модель ONNX ({text}). Экспортируйте её заново.",
    "error.fileGone": "Файл не читается: его переместили, изменили или удалили. Выберите его снова.",
    "error.noWebAssembly":
      "В этом браузере нет WebAssembly, а он выполняет модель. Возьмите свежий Chrome, Edge, Firefox или Safari и " +
      "отключите для этой страницы режимы усиленной защиты.",
    "error.noRuntime":
      "Среда выполнения модели не запустилась ({text}). Она работает в свежих Chrome, Edge, Firefox и Safari.",
    "error.noWebgpu": "Браузер не даёт здесь WebGPU. Выберите, где считать ещё, или включите аппаратное ускорение.",
    "error.workerFailed":
      "Часть страницы, выполняющая модель, остановилась ({text}). Обновите страницу; если не помогло, на сервере не " +
      "хватает файлов: соберите страницу заново командой «springfield app».",
    "error.memory": "Браузеру не хватило памяти ({text}). Закройте лишние вкладки, возьмите вариант int8 или картинку поменьше.",
    "error.serverGone": "Сервер не отвечает ({path}). Запустите его командой «make app» и попробуйте ещё раз.",
    "error.brokeOff": "Загрузка {path} оборвалась. Проверьте, работает ли сервер, и попробуйте ещё раз.",
    "error.serverFails": "Сервер отвечает {status} на {path}. Попробуйте позже.",
    "error.notServed":
      "На сервере нет {path}. Выполните «make repro» и «make app» или откройте модель ONNX с диска ниже.",
    "error.brokenFile": "Файл {path} на сервере повреждён. Соберите страницу заново командой «springfield app».",
    "error.wrongHash":
      "{path} не тот файл, который описан на сервере: он повреждён или как раз обновляется. Попробуйте ещё раз; если не " +
      "помогло, соберите страницу заново командой «springfield app».",
    "error.stopped": "Остановлено.",
    "error.noCamera": "Камера не найдена. Подключите её или выберите картинку.",
    "error.cameraDenied": "Браузеру не разрешили камеру. Разрешите её в адресной строке или выберите картинку.",
    "error.cameraBusy": "Камера занята другой программой. Закройте её и попробуйте ещё раз.",
    "error.cameraInsecure": "Браузеры открывают камеру только по https и на самом этом компьютере.",
    "error.unexpected": "Случилось непредвиденное ({text}). Обновите страницу.",
  },
};
const KEY = "springfield-language";

export const languages = /** @type {Language[]} */ (Object.keys(SENTENCES));
/** @type {Language} */
export let language = languages.find((name) => name === remembered()) ?? preferred();

function remembered() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // storage is switched off
  }
}

function preferred() {
  const wanted = navigator.languages.map((name) => name.slice(0, 2));
  const known = wanted.find((name) => languages.includes(/** @type {Language} */ (name)));
  return /** @type {Language | undefined} */ (known) ?? "en";
}

/**
 * Changes the language of the page, for the next visits too.
 *
 * @param {Language} name
 */
export function setLanguage(name) {
  language = name;
  try {
    localStorage.setItem(KEY, name);
  } catch {
    // only this visit
  }
}

/**
 * A sentence; a value `n` chooses its plural.
 *
 * @param {string} key
 * @param {Values} values
 */
export function t(key, values = {}) {
  let sentence = SENTENCES[language][key];
  if (typeof sentence === "object") {
    const plural = new Intl.PluralRules(language).select(Number(values.n));
    sentence = sentence[plural] ?? sentence.other;
  }
  return sentence.replace(/\{(\w+)\}/g, (_, name) =>
    typeof values[name] === "number" ? number(values[name]) : values[name],
  );
}

/** @param {number} value */
export function number(value, digits = 0) {
  return new Intl.NumberFormat(language, {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(value);
}

/**
 * A probability as a percentage: tenths where they matter.
 *
 * @param {number} value
 */
export function percent(value) {
  const fine = (value >= 0.0005 && value < 0.0995) || (value > 0.99 && value < 0.9995);
  const digits = fine ? 1 : 0;
  return new Intl.NumberFormat(language, {
    style: "percent",
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(value);
}

/**
 * A time span that people read: milliseconds below a second.
 *
 * @param {number} milliseconds
 */
export function duration(milliseconds) {
  const [value, unit] = milliseconds < 999.5 ? [milliseconds, "millisecond"] : [milliseconds / 1000, "second"];
  return new Intl.NumberFormat(language, {
    style: "unit",
    unit,
    maximumSignificantDigits: milliseconds < 999.5 ? 3 : 2,
  }).format(value);
}
