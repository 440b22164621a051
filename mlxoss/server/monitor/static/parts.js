// What both halves of the page use: elements, requests with the key, and figures as text.

export const KEY = "mlxoss-key";

export const $ = (id) => document.getElementById(id);

export function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

export function request(path, options = {}) {
  const key = sessionStorage.getItem(KEY);
  // A key is as it was; what cannot be one may have characters that no header takes.
  const authorization = key && `Bearer ${encodeURIComponent(key)}`;
  const headers = { ...options.headers, ...(key ? { authorization } : {}) };
  return fetch(path, { ...options, headers, cache: "no-store" });
}

// Figures

const whole = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const UNITS = ["B", "kB", "MB", "GB"];

export function bytes(value) {
  if (value === undefined) return "–";
  const unit = Math.min(Math.floor(Math.log10(Math.max(value, 1)) / 3), UNITS.length - 1);
  const scaled = value / 1000 ** unit;
  return `${scaled.toFixed(unit && scaled < 100 ? 1 : 0)} ${UNITS[unit]}`;
}

export function seconds(value) {
  if (value === undefined) return "–";
  if (value < 10) return `${value.toFixed(2)} s`;
  if (value < 90) return `${value.toFixed(0)} s`;
  const minutes = Math.floor(value / 60);
  if (minutes < 90) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

// How long something may take yet, no finer than anybody can tell.
export const estimate = (value) =>
  value < 90 ? `about ${Math.max(1, Math.round(value))} s` : `about ${Math.round(value / 60)} min`;

export const rate = (value) => (value === undefined ? "–" : value.toFixed(value < 100 ? 1 : 0));
export const count = (value) => (value === undefined ? "–" : whole.format(value));
export const short = (value) => compact.format(value);
