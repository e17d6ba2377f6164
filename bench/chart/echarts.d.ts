// The chart package is installed only where a picture is drawn; the types of what uses it are checked everywhere.
declare module "echarts";
