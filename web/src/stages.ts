// The stages in words for people.
const stages: Record<string, [string, string]> = {
  filter: ['Choose pictures', 'Looks through the capture for sharp, different pictures'],
  preprocess: ['Find the cameras', 'Works out where each picture was taken from'],
  depth: ['Estimate depth', 'How far away things are in each picture'],
  train: ['Build the splat', 'Shapes millions of soft points until they look like your pictures'],
  export: ['Pack it up', 'Writes the files, a film and the report'],
};
export const stageName = (s: string) => stages[s]?.[0] ?? s;
export const stageWhat = (s: string) => stages[s]?.[1] ?? '';
